/* Generated pictures: discs, squares, triangles and more, in any colour, before any background. */
#ifndef SHAPES_H
#define SHAPES_H

#include <tern/tern.h>

enum { SHAPE_KINDS = 5, SHAPE_SIZE = 32 };
/* "disc", "square", "triangle", "cross", "diamond". */
extern const char *const shape_names[SHAPE_KINDS];

/* n pictures x [3, SHAPE_SIZE, SHAPE_SIZE] f32 from 0 to 1, sample i always the same for a seed. For tern_dataset_free;
 * NULL after an error. */

/* One to three shapes of the first three kinds, the later before the earlier; y [SHAPE_SIZE, SHAPE_SIZE] i64 says for
 * each pixel what it shows: 0 background, else 1 + kind. */
tern_dataset *shapes_scenes_new(int64_t n, uint64_t seed);
/* One shape; y its class: the kind, and 5 + kind if it is a mere outline. */
tern_dataset *shapes_classes_new(int64_t n, uint64_t seed);

#endif
