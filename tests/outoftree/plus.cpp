// The umbrella header and a few calls from C++17.
#include <cmath>
#include <cstdio>
#include <tern/tern.h>

int main() {
    const int64_t size[] = {2, 3};
    tern_tensor *x = tern_full(tern_shape_of(2, size), 2.0, tern_options{TERN_F64, tern_cpu()});
    const double sum = tern_item(tern_sum(tern_square(x), nullptr, 0, false));
    std::printf("Tern %s from C++: %g\n", tern_version(), sum);
    tern_scope_pop(0);
    return std::fabs(sum - 24) < 1e-12 && tern_ok() ? 0 : 1;
}
