/* Stands for libnvinfer in a test of names: TensorRT's Python bindings link it, and are only imported, never called.
   A factory gives a null pointer, which the bindings turn into an exception. */

void *createInferBuilder_INTERNAL(void *logger, int version) { (void)logger; (void)version; return 0; }
void *createInferRuntime_INTERNAL(void *logger, int version) { (void)logger; (void)version; return 0; }
void *createInferRefitter_INTERNAL(void *engine, void *logger, int version)
{
    (void)engine;
    (void)logger;
    (void)version;
    return 0;
}
void *getPluginRegistry(void) { return 0; }
void *getBuilderPluginRegistry(int capability) { (void)capability; return 0; }
int getInferLibVersion(void) { return MAJOR * 10000; }
