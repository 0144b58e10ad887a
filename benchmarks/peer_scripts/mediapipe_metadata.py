"""Add to MediaPipe's own selfie network the metadata that its tasks API wants (pixels / 255, one mask).

    python mediapipe_metadata.py selfie_segmentation.tflite OUT.tflite

The file without metadata is in the npm package @mediapipe/selfie_segmentation. MediaPipe's wheels lack one compiled
module that its own writer imports, for a version number only: it is stood in for here.
"""

import sys
import types
from pathlib import Path

PARENT = "mediapipe.tasks.cc.metadata.python"
version = types.ModuleType(f"{PARENT}._pywrap_metadata_version")
version.GetMinimumMetadataParserVersion = lambda buffer: "1.0.0"  # type: ignore[attr-defined]
for name in ("mediapipe.tasks.cc", "mediapipe.tasks.cc.metadata", PARENT):
    sys.modules.setdefault(name, types.ModuleType(name))
sys.modules[PARENT]._pywrap_metadata_version = version  # type: ignore[attr-defined]
sys.modules[f"{PARENT}._pywrap_metadata_version"] = version

from mediapipe.tasks.python.metadata.metadata_writers import metadata_writer  # noqa: E402

writer = metadata_writer.MetadataWriter.create(bytearray(Path(sys.argv[1]).read_bytes()))
writer.add_image_input([0.0], [255.0])
writer.add_segmentation_output()
Path(sys.argv[2]).write_bytes(writer.populate()[0])
