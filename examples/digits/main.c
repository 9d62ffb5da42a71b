/* Trains a classifier of handwritten digits on the 1,797 images that come with Tern. What a training program is made
 * of: a network (model.c), data, and settings that suit them; ../common/train.c has the loop. */
#include "../common/example.h"
#include "model.h"

static tern_dataset *data_new(const settings *s, bool train) {
    (void)s;
    return tern_digits_new(train);
}

int main(int argc, char **argv) {
    static const example digits = {
        .name = "digits",
        .about =
            "Trains a classifier of handwritten digits: 1,797 real images of 8 x 8 pixels, which are part of Tern\n"
            "(E. Alpaydin and C. Kaynak, 1998, doi:10.24432/C50P49, CC BY 4.0). A fifth of them is for testing.",
        .recipes = {{"cnn", digits_cnn_new, .epochs = 20, .batch = 32, .lr = 3e-3},
                    {"mlp", digits_mlp_new, .epochs = 60, .batch = 32, .lr = 3e-3}},
        .data_new = data_new,
        .mean = 0,
        .std = 1,
        .pixel_max = 16,
        .height = 8,
        .width = 8,
    };
    return example_main(&digits, argc, argv);
}
