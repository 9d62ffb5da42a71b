#include "common.h"

TERN_TEST(scope, first) {
    tern_tensor *t = tern_zeros(TERN_SHAPE(2, 3), (tern_options){0});
    CHECK(t != NULL);
    CHECK_VALUES(t, 0, 0, 0, 0, 0, 0);
}
