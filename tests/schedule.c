/* Learning-rate schedules against PyTorch's lr_scheduler (tests/reference/schedules.py) over 120 steps, their state in
 * checkpoints, and settings that make no sense. */
#include "tern/schedule.h"

#include "common.h"
#include "tern/checkpoint.h"
#include "tern/layers.h"

typedef struct schedule_case {
    const char *name;
    tern_schedule schedule;
    bool adam;
    const double *lr, *momentum; /* momentum: NULL where it is not cycled */
} schedule_case;

static double one_over(int64_t step, void *user) {
    (void)user;
    return 1 / (1 + 0.1 * (double)step);
}

#include "reference/schedule_table.def"

enum { STEPS = 120, CASES = sizeof schedule_cases / sizeof *schedule_cases };

/* As in schedules.py. */
static double metric(int k) {
    const double v[] = {1.0 / (k + 1), 0.2, 0.19999, 0.1 - k * 1e-3, k % 2 ? (double)NAN : 0.3};
    return v[k / 8 % 5];
}

static tern_optim *optim_of(const schedule_case *c, tern_module *m) {
    return c->adam ? tern_adamw_new(m, 1, (tern_adamw_opts){0}) : tern_sgd_new(m, 1, (tern_sgd_opts){.momentum = 0.9});
}

/* One step of training by it; the parameter takes what the rate and the momentum make of a gradient. */
static void step(const schedule_case *c, tern_schedule *s, tern_optim *o, tern_module *m, int k) {
    tern_named e;
    CHECK(tern_schedule_apply(s, o), "%s", tern_error_message());
    CHECK_NUMBER(tern_optim_lr(o), c->lr[k], 1e-13);
    if (c->momentum) CHECK_NUMBER(tern_optim_momentum(o), c->momentum[k], 1e-13);
    for (int i = 0; tern_module_each(m, i, &e); i++)
        tern_grad_set(e.tensor, tern_full_like(tern_detach(e.tensor), 0.1 * (k % 7) - 0.2));
    CHECK(tern_optim_step(o));
    if (s->kind == TERN_SCHEDULE_PLATEAU) CHECK(tern_schedule_metric(s, metric(k)));
}

TERN_TEST(schedule, as_pytorch) {
    for (int i = 0; i < CASES; i++) {
        const schedule_case *c = &schedule_cases[i];
        tern_schedule s = c->schedule;
        tern_module *m = tern_linear_new(2, 2, (tern_linear_opts){0});
        tern_optim *o = optim_of(c, m);
        for (int k = 0; k < STEPS; k++) {
            check_case("%s, step %d", c->name, k);
            const int scope = tern_scope_push();
            if (s.kind != TERN_SCHEDULE_PLATEAU) CHECK_NUMBER(tern_schedule_lr(&s, k), c->lr[k], 1e-13);
            if (!c->momentum) CHECK(isnan(tern_schedule_momentum(&s, k)));
            step(c, &s, o, m, k);
            tern_scope_pop(scope);
        }
        tern_optim_free(o);
        tern_module_free(m);
    }
}

/* After a checkpoint, all goes on as it did: rates, momenta, and so the parameters, bit for bit. */
TERN_TEST(schedule, resumes_from_a_checkpoint) {
    const char *path = test_path("schedule.h5");
    for (int i = 0; i < CASES; i++) {
        const schedule_case *c = &schedule_cases[i];
        check_case("%s", c->name);
        const int scope = tern_scope_push();
        tern_schedule s = c->schedule, t = c->schedule;
        tern_module *straight = tern_linear_new(2, 2, (tern_linear_opts){0});
        tern_module *m = tern_linear_new(2, 2, (tern_linear_opts){0});
        CHECK(tern_module_copy(m, straight));
        tern_optim *so = optim_of(c, straight), *o = optim_of(c, m);
        for (int k = 0; k < STEPS; k++) step(c, &s, so, straight, k);
        for (int k = 0; k < 41; k++) step(c, &t, o, m, k);
        CHECK(tern_checkpoint_save(path, &(tern_checkpoint){.model = m, .optim = o, .schedule = &t}));
        tern_optim_free(o);
        tern_module_free(m);
        m = tern_linear_new(2, 2, (tern_linear_opts){0});
        o = optim_of(c, m);
        tern_schedule fresh = {.parts = c->schedule.parts, .n_parts = c->schedule.n_parts, .function = one_over};
        CHECK(tern_checkpoint_load(path, &(tern_checkpoint){.model = m, .optim = o, .schedule = &fresh}), "%s",
              tern_error_message());
        CHECK(fresh.kind == c->schedule.kind);
        if (c->momentum) CHECK_NUMBER(tern_optim_momentum(o), c->momentum[40], 1e-13);
        for (int k = 41; k < STEPS; k++) step(c, &fresh, o, m, k);
        tern_named a, b;
        for (int k = 0; tern_module_each(m, k, &a) && tern_module_each(straight, k, &b); k++)
            CHECK_SAME(a.tensor, b.tensor, ((tolerance){0, 0}));
        if (c->schedule.n_parts) {
            fresh.n_parts--;
            EXPECT_ERROR((tern_checkpoint_load(path, &(tern_checkpoint){.schedule = &fresh}), NULL), TERN_ERR_FORMAT,
                         "n_parts");
        }
        tern_optim_free(o);
        tern_optim_free(so);
        tern_module_free(m);
        tern_module_free(straight);
        tern_scope_pop(scope);
    }
}

TERN_TEST(schedule, numbers_by_name) {
    tern_schedule parts[2] = {{.gamma = 0.5}, {.gamma = 0.25, .milestones = {7}}};
    tern_schedule s = {.kind = TERN_SCHEDULE_CHAINED, .lr = 3, .parts = parts, .n_parts = 2};
    char name[64];
    double v;
    int n = 0, seen = 0;
    for (; tern_schedule_get(&s, n, name, sizeof name, &v); n++) {
        const double want = strcmp(name, "lr") == 0                 ? 3
                            : strcmp(name, "part0_gamma") == 0      ? 0.5
                            : strcmp(name, "part1_gamma") == 0      ? 0.25
                            : strcmp(name, "part1_milestone0") == 0 ? 7
                            : strcmp(name, "n_parts") == 0          ? 2
                                                                    : -1;
        if (want > 0) seen++, CHECK_NUMBER(v, want, 0);
        if (want > 2.5) CHECK(tern_schedule_set(&s, n, 9));
        if (strcmp(name, "n_parts") == 0) CHECK(tern_schedule_set(&s, n, 5) && s.n_parts == 2);
    }
    CHECK(seen == 5 && parts[1].milestones[0] == 9 && s.lr > 8.5);
    CHECK(!tern_schedule_get(&s, -1, name, sizeof name, &v) && !tern_schedule_set(&s, n, 1) && tern_ok());
}

TERN_TEST(schedule, wrong_settings) {
    tern_schedule part = {.min_lr = 0.1, .kind = TERN_SCHEDULE_COSINE, .total = 9};
    tern_schedule loop = {.kind = TERN_SCHEDULE_CHAINED, .n_parts = 1};
    loop.parts = &loop;
    const struct {
        tern_schedule s;
        const char *text;
    } cases[] = {
        {{.lr = (double)NAN}, "lr is no number"},
        {{.lr = 1, .min_lr = 2}, "min_lr is not within"},
        {{.lr = 1, .kind = TERN_SCHEDULE_LINEAR}, "total is not above warmup"},
        {{.lr = 1, .kind = TERN_SCHEDULE_RESTARTS}, "period is below 1"},
        {{.lr = 1, .kind = TERN_SCHEDULE_ONE_CYCLE, .total = 1}, "total is not 2 or more"},
        {{.lr = 1, .kind = TERN_SCHEDULE_ONE_CYCLE, .total = 9, .cycle_momentum = true, .high_momentum = 1},
         "a momentum is not below 1"},
        {{.lr = 1, .kind = TERN_SCHEDULE_CYCLIC, .wave = TERN_WAVE_EXP_RANGE}, "gamma is not above 0"},
        {{.lr = 1, .kind = TERN_SCHEDULE_PLATEAU, .plateau.factor = 1}, "plateau.factor is not below 1"},
        {{.lr = 1, .kind = TERN_SCHEDULE_MULTI_STEP, .n_milestones = 17}, "too many milestones"},
        {{.lr = 1, .kind = TERN_SCHEDULE_MULTI_STEP, .milestones = {3, 2}, .n_milestones = 2}, "do not rise"},
        {{.lr = 1, .kind = TERN_SCHEDULE_EXPONENTIAL, .gamma = -1}, "gamma is no number"},
        {{.lr = 1, .kind = TERN_SCHEDULE_SEQUENTIAL}, "there are no parts"},
        {{.lr = 1, .kind = TERN_SCHEDULE_SEQUENTIAL, .parts = &part, .n_parts = 1, .n_milestones = 1}, "one part more"},
        {{.lr = 1, .kind = TERN_SCHEDULE_CHAINED, .parts = &part, .n_parts = 1}, "a chained part has a min_lr"},
        {loop, "too deep"},
        {{.lr = 1, .kind = TERN_SCHEDULE_FUNCTION}, "function is NULL"},
    };
    tern_module *m = tern_linear_new(2, 2, (tern_linear_opts){0});
    tern_optim *o = tern_sgd_new(m, 0.5, (tern_sgd_opts){0});
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_case("%s", cases[i].text);
        EXPECT_ERROR((tern_schedule_apply(&cases[i].s, o), NULL), TERN_ERR_ARGUMENT, cases[i].text);
        CHECK(isnan(tern_schedule_lr(&cases[i].s, 3)));
    }
    const tern_schedule cycles = {.kind = TERN_SCHEDULE_CYCLIC, .lr = 1, .cycle_momentum = true};
    EXPECT_ERROR((tern_schedule_apply(&cycles, o), NULL), TERN_ERR_ARGUMENT, "neither momentum nor beta1");
    EXPECT_ERROR((tern_schedule_metric(&part, 1), NULL), TERN_ERR_ARGUMENT, "schedule_metric: min_lr");
    CHECK_NUMBER(tern_optim_lr(o), 0.5, 0);
    tern_optim_free(o);
    tern_module_free(m);
}
