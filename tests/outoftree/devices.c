/* What this machine's Tern can use, for the check that one program serves a build with CUDA and one without. */
#include <stdio.h>
#include <tern/tern.h>

int main(void) {
    static char text[16384];
    puts(tern_info(text, sizeof text));
    const tern_device gpu = {.type = TERN_CUDA};
    printf("cuda can be used: %s\n", tern_device_available(gpu) ? "yes" : "no");
    tern_tensor *t = tern_ones(TERN_SHAPE(2, 3), (tern_options){0});
    printf("sum on the CPU: %g\n", tern_item(tern_sum(t, NULL, 0, false)));
    return tern_ok() ? 0 : 1;
}
