/* In place of cuDNN's recurrent layers where its headers are not there to build the simulation of them with. */
#include <stdio.h>

#include "library_rnn.h"

static bool open_library(char *why, size_t size) {
    if (why) snprintf(why, size, "built without cuDNN's headers");
    return false;
}
const terni_library_rnn terni_cuda_library_rnn = {.name = "none", .open = open_library};
