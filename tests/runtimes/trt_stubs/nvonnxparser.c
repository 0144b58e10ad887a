/* Stands for libnvonnxparser; see nvinfer.c. */

void *createNvOnnxParser_INTERNAL(void *network, void *logger, int version)
{
    (void)network;
    (void)logger;
    (void)version;
    return 0;
}
void *createNvOnnxParserRefitter_INTERNAL(void *refitter, void *logger, int version)
{
    (void)refitter;
    (void)logger;
    (void)version;
    return 0;
}
int getNvOnnxParserVersion(void) { return MAJOR * 10000; }
