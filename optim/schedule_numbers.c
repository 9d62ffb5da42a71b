/* A schedule's numbers by name, for checkpoints. */
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "tern/schedule.h"

typedef enum number_type { REAL, INTEGER, FLAG, ENUMERATOR } number_type;
typedef struct field {
    const char *name;
    size_t at;
    number_type type;
} field;

#define AT(member, type) \
    { #member, offsetof(tern_schedule, member), type }
static const field fields[] = {
    {"kind", offsetof(tern_schedule, kind), ENUMERATOR},
    AT(lr, REAL),
    AT(min_lr, REAL),
    AT(warmup, INTEGER),
    AT(total, INTEGER),
    AT(step_size, INTEGER),
    AT(gamma, REAL),
    AT(start_factor, REAL),
    AT(end_factor, REAL),
    AT(power, REAL),
    AT(period, INTEGER),
    AT(growth, INTEGER),
    AT(n_milestones, INTEGER),
    AT(div, REAL),
    AT(final_div, REAL),
    AT(rise, REAL),
    AT(linear, FLAG),
    AT(three_phase, FLAG),
    AT(up, INTEGER),
    AT(down, INTEGER),
    AT(wave, ENUMERATOR),
    AT(cycle_momentum, FLAG),
    AT(low_momentum, REAL),
    AT(high_momentum, REAL),
    AT(plateau.factor, REAL),
    AT(plateau.patience, INTEGER),
    AT(plateau.threshold, REAL),
    AT(plateau.absolute, FLAG),
    AT(plateau.highest, FLAG),
    AT(plateau.cooldown, INTEGER),
    AT(plateau.eps, REAL),
    AT(plateau.begun, FLAG),
    AT(plateau.lr, REAL),
    AT(plateau.best, REAL),
    AT(plateau.bad, INTEGER),
    AT(plateau.resting, INTEGER),
    AT(n_parts, INTEGER),
};
enum { FIELDS = sizeof fields / sizeof *fields, OWN = FIELDS + TERN_SCHEDULE_MILESTONES, DEEPEST = 4 };
_Static_assert(sizeof(tern_schedule_kind) == sizeof(int) && sizeof(tern_schedule_wave) == sizeof(int),
               "enumerators are read as int");

static int count(const tern_schedule *s, int depth) {
    int n = OWN;
    for (int64_t k = 0; s->parts && k < s->n_parts && depth < DEEPEST; k++) n += count(&s->parts[k], depth + 1);
    return n;
}

/* Whose number i is: s or a part of it; *i becomes its own number, and prefix, of `size`, its place. NULL past the end.
 */
static tern_schedule *owner(const tern_schedule *s, int *i, char *prefix, size_t size) {
    for (int depth = 0; *i >= OWN; depth++) {
        *i -= OWN;
        int64_t k = 0;
        for (; s->parts && k < s->n_parts && depth < DEEPEST; k++) {
            const int n = count(&s->parts[k], depth + 1);
            if (*i < n) break;
            *i -= n;
        }
        if (!s->parts || k >= s->n_parts || depth >= DEEPEST) return NULL;
        const size_t letters = strlen(prefix);
        snprintf(prefix + letters, size - letters, "part%d_", (int)k);
        s = &s->parts[k];
    }
    return (tern_schedule *)(uintptr_t)s;
}

bool tern_schedule_get(const tern_schedule *s, int i, char *name, size_t size, double *value) {
    char prefix[64] = "";
    if (!s || i < 0 || !(s = owner(s, &i, prefix, sizeof prefix))) return false;
    if (i >= FIELDS) {
        snprintf(name, size, "%smilestone%d", prefix, i - FIELDS);
        *value = (double)s->milestones[i - FIELDS];
        return true;
    }
    const void *at = (const char *)s + fields[i].at;
    snprintf(name, size, "%s%s", prefix, fields[i].name);
    for (char *c = name; *c; c++)
        if (*c == '.') *c = '_';
    switch (fields[i].type) {
        case REAL:
            *value = *(const double *)at;
            break;
        case INTEGER:
            *value = (double)*(const int64_t *)at;
            break;
        case FLAG:
            *value = *(const bool *)at;
            break;
        case ENUMERATOR:
            *value = *(const int *)at;
            break;
    }
    return true;
}

/* A double as an integer, 0 for what is none. */
static int64_t integer(double v) { return v >= -0x1p62 && v <= 0x1p62 ? (int64_t)v : 0; }

bool tern_schedule_set(tern_schedule *s, int i, double value) {
    char prefix[64] = "";
    if (!s || i < 0 || !(s = owner(s, &i, prefix, sizeof prefix))) return false;
    if (i >= FIELDS) {
        s->milestones[i - FIELDS] = integer(value);
        return true;
    }
    void *at = (char *)s + fields[i].at;
    if (at == &s->n_parts) return true; /* the parts are the program's */
    switch (fields[i].type) {
        case REAL:
            *(double *)at = value;
            break;
        case INTEGER:
            *(int64_t *)at = integer(value);
            break;
        case FLAG:
            *(bool *)at = integer(value) != 0;
            break;
        case ENUMERATOR:
            *(int *)at = value >= 0 && value < 1000 ? (int)value : -1;
            break;
    }
    return true;
}
