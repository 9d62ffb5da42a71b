#include "trajectory.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include <tern/tern.h>

#include "cartpole.h"

enum { ACTION, X, X_SPEED, ANGLE, ANGLE_SPEED, END, COLUMNS };

/* The columns as [COLUMNS, rows] f64. */
static tern_tensor *read_columns(const tern_table *t) {
    static const char *const names[COLUMNS] = {"action", "x", "x_speed", "angle", "angle_speed", "end"};
    tern_tensor *column[COLUMNS];
    for (int i = 0; i < COLUMNS; i++)
        column[i] = tern_cast(tern_table_numbers(t, tern_table_find(t, names[i])), TERN_F64);
    return tern_stack(column, COLUMNS, 0);
}

static bool check(const char *path, const double *v, int64_t n) {
    double most = 0;
    int64_t compared = 0;
    for (int64_t i = 0; i < n; i++) {
        cartpole c = {v[X * n + i], v[X_SPEED * n + i], v[ANGLE * n + i], v[ANGLE_SPEED * n + i]};
        const double end = v[END * n + i];
        if (cartpole_failed(&c) != (end == 1))
            return tern_error_set(TERN_ERR_ARGUMENT, "%s, row %" PRId64 ": end is %g, which it is not here", path,
                                  i + 1, end);
        if (end != 0 || i + 1 == n) continue;
        cartpole_step(&c, v[ACTION * n + i] != 0);
        const double now[4] = {c.x, c.x_speed, c.angle, c.angle_speed};
        for (int k = 0; k < 4; k++) most = fmax(most, fabs(now[k] - v[(X + k) * n + i + 1]));
        compared++;
    }
    printf("%" PRId64 " steps, largest difference %.1e\n", compared, most);
    return most <= 1e-12 || tern_error_set(TERN_ERR_ARGUMENT, "%s: the simulation differs by %.1e", path, most);
}

bool trajectory_check(const char *path) {
    tern_table *t = tern_csv_load(path, (tern_csv_opts){0});
    if (!t) return false;
    const int scope = tern_scope_push();
    tern_tensor *v = read_columns(t);
    const bool ok = v && check(path, tern_data(v), tern_size(v, 1));
    tern_scope_pop(scope);
    tern_table_free(t);
    return ok;
}
