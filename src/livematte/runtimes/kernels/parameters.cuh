// What may change from frame to frame, in device memory: a captured graph is launched again with other values in it.
//
// The same block as `PARAMETERS` in parameters.py; tests/kernels/test_parameters.py holds the two together. All members
// are 4 bytes wide and the whole is a multiple of 16, so that there is no padding on any compiler.
#pragma once

#define LM_BLUR_TAPS 104  // half of the widest Gaussian: radius 103, which is blur=400 at 8K

struct Parameters {
    float interval_seconds;  // since the frame before
    int is_first;            // 1: the past says nothing about this frame (a start, a cut, a seek, a long gap)
    float strength[4];       // what the smoother's mode needs, see smooth.cu
    float region[4];         // left, top, right, bottom as shares of the picture; all of it: 0, 0, 1, 1
    int keep_px[4];          // the same in pixels of the picture: first column, first row, end of columns, end of rows
    int colour[3];           // background colour, samples in plane order (Y, U, V), right-aligned
    float despill;           // 0..1
    float shrink_px;         // at the picture's size; above 0: inward
    float feather_px;        // at the picture's size
    float levels[2];         // black, white: 0..1
    float blur_px;           // radius at the picture's size; what follows was made from it
    int blur_step;           // chroma samples a side of the blocks that the blur is made on: 1, 2, 4, 8 or 16
    int blur_radius[2];      // taps to each side on that grid: x, y
    int reserved[2];
    float blur_weights[2][LM_BLUR_TAPS];  // x, y: weight at distance 0, 1, ... radius
};
