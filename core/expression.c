/* A recursive-descent evaluator of the C subset that rows of elementwise.def are written in: numbers in K(), names, + -
 * * /, comparisons, ?: and calls. Constants are folded in double; everything else becomes public ops. */
#include "expression.h"
#include "plain_locale.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct value { /* t, or the constant c if t is NULL */
    tern_tensor *t;
    double c;
} value;

typedef struct reader {
    const char *s;
    const terni_names *names;
    bool bad;
} reader;

static value conditional(reader *r);

static value constant(double c) { return (value){NULL, c}; }
static value fail(reader *r) {
    r->bad = true;
    return constant(0);
}
static value tensor(reader *r, tern_tensor *t) { return t ? (value){t, 0} : fail(r); }

static void space(reader *r) {
    while (isspace((unsigned char)*r->s)) r->s++;
}
static bool eat(reader *r, const char *what) {
    space(r);
    const size_t n = strlen(what);
    if (strncmp(r->s, what, n) != 0) return false;
    r->s += n;
    return true;
}

static value negative(reader *r, value v) { return v.t ? tensor(r, tern_neg(v.t)) : constant(-v.c); }

static value sum(reader *r, value a, value b, bool minus) {
    if (a.t && b.t) return tensor(r, minus ? tern_sub(a.t, b.t) : tern_add(a.t, b.t));
    if (a.t) return tensor(r, tern_add_scalar(a.t, minus ? -b.c : b.c));
    if (b.t) return tensor(r, minus ? tern_rsub_scalar(b.t, a.c) : tern_add_scalar(b.t, a.c));
    return constant(minus ? a.c - b.c : a.c + b.c);
}

static value product(reader *r, value a, value b, bool over) {
    if (a.t && b.t) return tensor(r, over ? tern_div(a.t, b.t) : tern_mul(a.t, b.t));
    if (a.t) return tensor(r, over ? tern_div_scalar(a.t, b.c) : tern_mul_scalar(a.t, b.c));
    if (b.t) return tensor(r, over ? tern_rdiv_scalar(b.t, a.c) : tern_mul_scalar(b.t, a.c));
    return constant(over ? a.c / b.c : a.c * b.c);
}

/* A constant as a 0-dim tensor beside t. */
static tern_tensor *lift(value v, const tern_tensor *t) {
    return v.t ? v.t : tern_scalar(v.c, (tern_options){terni_dtype(t), t->device});
}

static value call(reader *r, const char *name, size_t length) {
    const value a = conditional(r);
    if (r->bad) return a;
    if (!eat(r, ",")) {
        if (!eat(r, ")") || !a.t) return fail(r);
        return tensor(r, terni_unary_by_name(name, length, a.t, NULL));
    }
    const value b = conditional(r);
    if (r->bad || !eat(r, ")") || (!a.t && !b.t)) return fail(r);
    const int row = terni_binary_by_name(name, length);
    if (row >= 0) return tensor(r, terni_binary(row, lift(a, b.t), lift(b, a.t)));
    return a.t && !b.t ? tensor(r, terni_unary_by_name(name, length, a.t, (double[3]){b.c})) : fail(r);
}

static value name_or_call(reader *r) {
    const char *name = r->s;
    while (isalnum((unsigned char)*r->s) || *r->s == '_') r->s++;
    const size_t length = (size_t)(r->s - name);
    if (length == 1 && *name == 'K' && eat(r, "(")) {
        char *end;
        const double c = terni_plain_number(r->s, &end);
        r->s = end;
        return eat(r, ")") ? constant(c) : fail(r);
    }
    if (eat(r, "(")) return call(r, name, length);
    if (length != 1) return fail(r);
    switch (*name) {
        case 'x':
            return tensor(r, r->names->x);
        case 'y':
            return tensor(r, r->names->y);
        case 'a':
            return tensor(r, r->names->a);
        case 'b':
            return tensor(r, r->names->b);
        case 'p':
            return constant(r->names->p);
        case 'q':
            return constant(r->names->q);
        default:
            return fail(r);
    }
}

static value primary(reader *r) {
    space(r);
    if (eat(r, "-")) return negative(r, primary(r));
    if (eat(r, "(")) {
        const value v = conditional(r);
        return eat(r, ")") ? v : fail(r);
    }
    return isalpha((unsigned char)*r->s) ? name_or_call(r) : fail(r);
}

static value term(reader *r) {
    value v = primary(r);
    while (!r->bad) {
        if (eat(r, "*"))
            v = product(r, v, primary(r), false);
        else if (eat(r, "/"))
            v = product(r, v, primary(r), true);
        else
            break;
    }
    return v;
}

static value additive(reader *r) {
    value v = term(r);
    while (!r->bad) {
        if (eat(r, "+"))
            v = sum(r, v, term(r), false);
        else if (eat(r, "-"))
            v = sum(r, v, term(r), true);
        else
            break;
    }
    return v;
}

static value comparison(reader *r) {
    typedef tern_tensor *(*op2)(tern_tensor *, tern_tensor *);
    static const struct {
        const char *text;
        op2 op;
    } ops[] = {{"==", tern_eq}, {"!=", tern_ne}, {"<=", tern_le}, {">=", tern_ge}, {"<", tern_lt}, {">", tern_gt}};
    const value a = additive(r);
    for (size_t i = 0; !r->bad && i < sizeof ops / sizeof *ops; i++) {
        if (!eat(r, ops[i].text)) continue;
        const value b = additive(r);
        if (r->bad || (!a.t && !b.t)) return fail(r);
        return tensor(r, ops[i].op(lift(a, b.t), lift(b, a.t)));
    }
    return a;
}

static value conditional(reader *r) {
    const value cond = comparison(r);
    if (r->bad || !eat(r, "?")) return cond;
    const value a = conditional(r);
    if (r->bad || !eat(r, ":")) return fail(r);
    const value b = conditional(r);
    if (r->bad || !cond.t) return fail(r);
    const tern_tensor *like = a.t           ? a.t
                              : b.t         ? b.t
                              : r->names->x ? r->names->x
                              : r->names->y ? r->names->y
                                            : r->names->a;
    if (!like) return fail(r);
    return tensor(r, tern_where(cond.t, lift(a, like), lift(b, like)));
}

tern_tensor *terni_expression_times(const char *text, const terni_names *names, tern_tensor *scale) {
    reader r = {text, names, false};
    const value v = conditional(&r);
    space(&r);
    if (!tern_ok()) return NULL;
    if (r.bad || *r.s)
        return terni_null(TERN_ERR_INTERNAL, "elementwise: cannot read the expression \"%.80s\" at \"%.20s\"", text,
                          r.s);
    return v.t ? tern_mul(scale, v.t) : v.c == 1 ? scale : tern_mul_scalar(scale, v.c);
}

bool terni_expression_uses(const char *text, char name) {
    for (const char *s = text; *s; s++) {
        const bool word = s > text && (isalnum((unsigned char)s[-1]) || s[-1] == '_');
        if (*s == name && !word && !isalnum((unsigned char)s[1]) && s[1] != '_') return true;
    }
    return false;
}
