/* ONNX export: elementwise ops. What ONNX has as one op becomes that; any other is written from its row's own formula,
 * which the trace gives as C text, so that no formula stands here again. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "onnx_internal.h"
#include "plain_locale.h"

/* ---- formulas: the C of elementwise.def (numbers in K(), names, + - * /, comparisons, && ||, ?:, calls)
 * -------------- */

typedef struct reader {
    terni_onnx *g;
    const char *s;
    const terni_onnx_names *names;
    int depth;
    bool bad;
    char call[32]; /* what cannot be called */
} reader;

typedef struct term { /* v, or the constant c if v is NULL */
    terni_value v;
    double c;
} term;

static term conditional(reader *r);
static term formula(reader *r, const char *text, const terni_onnx_names *names);

static term constant(double c) { return (term){NULL, c}; }
static term fail(reader *r) {
    r->bad = true;
    return constant(0);
}
static term made(reader *r, terni_value v) { return v ? (term){v, 0} : fail(r); }
static terni_value lift(reader *r, term t) { return t.v ? t.v : terni_onnx_number(r->g, r->names->dtype, t.c); }
static term two(reader *r, const char *op, term a, term b) {
    if (r->bad) return a;
    return made(r, terni_onnx_op(r->g, op, TERNI_IN(lift(r, a), lift(r, b)), TERNI_PLAIN));
}
static term one(reader *r, const char *op, term a) {
    return r->bad ? a : made(r, terni_onnx_op(r->g, op, TERNI_IN(lift(r, a)), TERNI_PLAIN));
}

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

/* Functions that formulas call: an op of ONNX, or a formula of x (the first argument) and p (a second one). */
static const struct callee {
    const char *name, *op, *text;
} callees[] = {
    {"fabs", "Abs", NULL},
    {"exp", "Exp", NULL},
    {"log", "Log", NULL},
    {"sqrt", "Sqrt", NULL},
    {"tanh", "Tanh", NULL},
    {"sin", "Sin", NULL},
    {"cos", "Cos", NULL},
    {"tan", "Tan", NULL},
    {"asin", "Asin", NULL},
    {"acos", "Acos", NULL},
    {"atan", "Atan", NULL},
    {"sinh", "Sinh", NULL},
    {"cosh", "Cosh", NULL},
    {"asinh", "Asinh", NULL},
    {"acosh", "Acosh", NULL},
    {"atanh", "Atanh", NULL},
    {"erf", "Erf", NULL},
    {"floor", "Floor", NULL},
    {"ceil", "Ceil", NULL},
    {"rint", "Round", NULL},
    {"sign", "Sign", NULL},
    {"sigmoid", "Sigmoid", NULL},
    {"softplus", "Softplus", NULL},
    {"trunc", NULL, "sign(x) * floor(fabs(x))"},
    {"exp2", NULL, "exp(x * K(0.69314718055994530942))"},
    {"expm1", NULL, "exp(x) - K(1)"},
    {"log1p", NULL, "log(K(1) + x)"},
    {"log2", NULL, "log(x) * K(1.44269504088896340736)"},
    {"log10", NULL, "log(x) * K(0.43429448190325182765)"},
    {"erfc", NULL, "K(1) - erf(x)"},
    {"ndtr", NULL, "K(0.5) * (K(1) + erf(x * K(0.70710678118654752440)))"},
    {"gelu", NULL, "x * ndtr(x)"},
    {"gelu_tanh", NULL, "x * sigmoid(K(1.59576912160573071176) * (x + K(0.044715) * x * x * x))"},
    {"silu", NULL, "x * sigmoid(x)"},
    {"mish", NULL, "x * tanh(softplus(x))"},
    {"elu", NULL, "x > K(0) ? x : p * expm1(x)"},
    {"celu", NULL, "x > K(0) ? x : p * expm1(x / p)"},
    {"tanhshrink", NULL, "x - tanh(x)"},
};
static const struct callee pairs[] = {
    {"pow", "Pow", NULL},
    {"maximum", "Max", NULL},
    {"minimum", "Min", NULL},
    {"hypot", NULL, "sqrt(a * a + b * b)"},
    {"logaddexp", NULL, "maximum(a, b) + log1p(exp(-fabs(a - b)))"},
    {"xlogy", NULL, "a == K(0) ? (b == b ? a : b) : a * log(b)"},
};

static term call(reader *r, const char *name, size_t length) {
    const term a = conditional(r);
    const bool pair = !r->bad && eat(r, ",");
    const term b = pair ? conditional(r) : constant(0);
    if (r->bad || !eat(r, ")")) return fail(r);
    for (size_t i = 0; pair && i < sizeof pairs / sizeof *pairs; i++) {
        if (strncmp(pairs[i].name, name, length) != 0 || pairs[i].name[length]) continue;
        if (pairs[i].op) return two(r, pairs[i].op, a, b);
        const terni_onnx_names names = {.a = lift(r, a), .b = lift(r, b), .dtype = r->names->dtype};
        return formula(r, pairs[i].text, &names);
    }
    for (size_t i = 0; (!pair || !b.v) && i < sizeof callees / sizeof *callees; i++) {
        if (strncmp(callees[i].name, name, length) != 0 || callees[i].name[length]) continue;
        if (callees[i].op) return one(r, callees[i].op, a);
        const terni_onnx_names names = {.x = lift(r, a), .p = b.c, .dtype = r->names->dtype};
        return formula(r, callees[i].text, &names);
    }
    if (length >= sizeof r->call) length = sizeof r->call - 1;
    memcpy(r->call, name, length);
    r->call[length] = 0;
    return fail(r);
}

static term name_or_call(reader *r) {
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
    const terni_onnx_names *n = r->names;
    switch (length == 1 ? *name : 0) {
        case 'x':
            return made(r, n->x);
        case 'a':
            return made(r, n->a);
        case 'b':
            return made(r, n->b);
        case 'p':
            return constant(n->p);
        case 'q':
            return constant(n->q);
        case 'r':
            return constant(n->r);
        default:
            return fail(r);
    }
}

static term primary(reader *r) {
    space(r);
    if (++r->depth > 100) return fail(r);
    term t;
    if (eat(r, "-")) {
        t = primary(r);
        t = t.v ? one(r, "Neg", t) : constant(-t.c);
    } else if (eat(r, "(")) {
        t = conditional(r);
        if (!eat(r, ")")) t = fail(r);
    } else
        t = isalpha((unsigned char)*r->s) ? name_or_call(r) : fail(r);
    r->depth--;
    return t;
}

static term product(reader *r) {
    term t = primary(r);
    while (!r->bad) {
        const bool times = eat(r, "*");
        if (!times && !eat(r, "/")) break;
        const term u = primary(r);
        if (t.v || u.v)
            t = two(r, times ? "Mul" : "Div", t, u);
        else
            t.c = times ? t.c * u.c : t.c / u.c;
    }
    return t;
}

static term sum(reader *r) {
    term t = product(r);
    while (!r->bad) {
        const bool plus = eat(r, "+");
        if (!plus && !eat(r, "-")) break;
        const term u = product(r);
        if (t.v || u.v)
            t = two(r, plus ? "Add" : "Sub", t, u);
        else
            t.c = plus ? t.c + u.c : t.c - u.c;
    }
    return t;
}

static term comparison(reader *r) {
    static const struct {
        const char *text, *op;
        bool negated;
    } ops[] = {{"==", "Equal", false},          {"!=", "Equal", true}, {"<=", "LessOrEqual", false},
               {">=", "GreaterOrEqual", false}, {"<", "Less", false},  {">", "Greater", false}};
    const term a = sum(r);
    for (size_t i = 0; !r->bad && i < sizeof ops / sizeof *ops; i++) {
        if (!eat(r, ops[i].text)) continue;
        const term t = two(r, ops[i].op, a, sum(r));
        return ops[i].negated ? one(r, "Not", t) : t;
    }
    return a;
}

static term logical(reader *r) {
    term t = comparison(r);
    while (!r->bad) {
        const bool both = eat(r, "&&");
        if (!both && !eat(r, "||")) break;
        t = two(r, both ? "And" : "Or", t, comparison(r));
    }
    return t;
}

static term conditional(reader *r) {
    const term cond = logical(r);
    if (r->bad || !eat(r, "?")) return cond;
    const term a = conditional(r);
    if (r->bad || !eat(r, ":")) return fail(r);
    const term b = conditional(r);
    if (r->bad || !cond.v) return fail(r);
    return made(r, terni_onnx_op(r->g, "Where", TERNI_IN(cond.v, lift(r, a), lift(r, b)), TERNI_PLAIN));
}

/* text with names of its own. */
static term formula(reader *r, const char *text, const terni_onnx_names *names) {
    if (r->bad) return constant(0);
    reader inner = {.g = r->g, .s = text, .names = names, .depth = r->depth + 1};
    const term t = inner.depth > 100 ? fail(&inner) : conditional(&inner);
    space(&inner);
    if (*inner.s || inner.bad) {
        memcpy(r->call, inner.call, sizeof r->call);
        return fail(r);
    }
    return t;
}

terni_value terni_onnx_formula(terni_onnx *g, const char *text, const terni_onnx_names *names) {
    reader r = {.g = g, .names = names};
    const term t = formula(&r, text, names);
    if (!r.bad) return lift(&r, t);
    if (tern_ok())
        terni_fail(TERN_ERR_UNSUPPORTED, "onnx_export: ONNX has no %s, which \"%.60s\" calls",
                   r.call[0] ? r.call : "such expression", text);
    return NULL;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

typedef enum kind { PLAIN, ALPHA, CLIP, BOOLS } kind; /* BOOLS: between bools as they are, else by the formula */
static const struct direct {
    const char *op, *name;
    kind kind;
    bool floats; /* for float dtypes only: what it is for integers differs, or is missing */
} direct[] = {
    {"add", "Add", PLAIN, false},
    {"sub", "Sub", PLAIN, false},
    {"mul", "Mul", PLAIN, false},
    {"div", "Div", PLAIN, true},
    {"pow", "Pow", PLAIN, false},
    {"maximum", "Max", PLAIN, false},
    {"minimum", "Min", PLAIN, false},
    {"neg", "Neg", PLAIN, false},
    {"abs", "Abs", PLAIN, false},
    {"positive", "Identity", PLAIN, false},
    {"sign", "Sign", PLAIN, false},
    {"relu", "Relu", PLAIN, false},
    {"selu", "Selu", PLAIN, true},
    {"softsign", "Softsign", PLAIN, true},
    {"hardswish", "HardSwish", PLAIN, true},
    {"reciprocal", "Reciprocal", PLAIN, true},
    {"leaky_relu", "LeakyRelu", ALPHA, true},
    {"elu", "Elu", ALPHA, true},
    {"celu", "Celu", ALPHA, true},
    {"clamp", "Clip", CLIP, false},
    {"hardtanh", "Clip", CLIP, false},
    {"leaky_relu_tensor", "PRelu", PLAIN, true},
    {"eq", "Equal", PLAIN, false},
    {"lt", "Less", PLAIN, false},
    {"le", "LessOrEqual", PLAIN, false},
    {"gt", "Greater", PLAIN, false},
    {"ge", "GreaterOrEqual", PLAIN, false},
    {"logical_and", "And", BOOLS, false},
    {"logical_or", "Or", BOOLS, false},
    {"logical_xor", "Xor", BOOLS, false},
    {"logical_not", "Not", BOOLS, false},
    {"bitwise_and", "And", BOOLS, false},
    {"bitwise_or", "Or", BOOLS, false},
    {"bitwise_xor", "Xor", BOOLS, false},
    {"isnan", "IsNaN", PLAIN, true},
    {"isinf", "IsInf", PLAIN, true},
};

static const char *bits_name(const char *op) {
    return strcmp(op, "bitwise_and") == 0   ? "BitwiseAnd"
           : strcmp(op, "bitwise_or") == 0  ? "BitwiseOr"
           : strcmp(op, "bitwise_xor") == 0 ? "BitwiseXor"
                                            : NULL;
}

static terni_value written(terni_onnx *g, const terni_step *s, const struct direct *d, const terni_value *in) {
    const tern_traced *op = s->op;
    const tern_dtype dtype = tern_dtype_of(op->in[0]);
    const double p = tern_traced_number(op, "p"), q = tern_traced_number(op, "q");
    switch (d->kind) {
        case ALPHA:
            return terni_onnx_op(g, d->name, in, op->n_in, TERNI_WITH(TERNI_A_FLOAT("alpha", p)));
        case CLIP: {
            terni_value low = isinf(p) ? "" : terni_onnx_number(g, dtype, p);
            terni_value high = isinf(q) ? "" : terni_onnx_number(g, dtype, q);
            return terni_onnx_op(g, d->name, TERNI_IN(in[0], low, high), TERNI_PLAIN);
        }
        default:
            return terni_onnx_op(g, d->name, in, op->n_in, TERNI_PLAIN);
    }
}

/* The one-letter name x occurs. */
static bool uses_x(const char *text) {
    for (const char *s = text; *s; s++) {
        const bool word = s > text && (isalnum((unsigned char)s[-1]) || s[-1] == '_');
        if (*s == 'x' && !word && !isalnum((unsigned char)s[1]) && s[1] != '_') return true;
    }
    return false;
}

bool terni_onnx_elementwise(terni_onnx *g, const terni_step *s) {
    const tern_traced *op = s->op;
    terni_value in[3] = {"", "", ""};
    const tern_dtype dtype = tern_dtype_of(op->in[0]);
    for (int i = 0; i < op->n_in && i < 3; i++) in[i] = terni_onnx_value(g, op->in[i]);
    if (!in[0] || !in[1] || !in[2]) return false;
    for (size_t i = 0; i < sizeof direct / sizeof *direct; i++) {
        const struct direct *d = &direct[i];
        if (strcmp(d->op, op->op) != 0) continue;
        const bool infinite = isinf(tern_traced_number(op, "p")) && isinf(tern_traced_number(op, "q"));
        const bool wider =
            strcmp(d->name, "PRelu") == 0 && !tern_shape_equal(tern_shape_get(op->in[0]), tern_shape_get(op->out[0]));
        if ((d->floats && !tern_dtype_is_float(dtype)) || (d->kind == BOOLS && dtype != TERN_BOOL) || infinite || wider)
            break;
        return terni_onnx_bind(g, op->out[0], written(g, s, d, in));
    }
    const char *bits = dtype != TERN_BOOL ? bits_name(op->op) : NULL;
    if (bits) return terni_onnx_bind(g, op->out[0], terni_onnx_op(g, bits, in, 2, TERNI_PLAIN));
    if (dtype == TERN_BOOL) /* formulas compare with numbers */
        for (int i = 0; i < op->n_in; i++) in[i] = terni_onnx_cast(g, in[i], TERN_BOOL, TERN_I32);
    const int a = op->n_in > 1 && uses_x(op->formula);
    const terni_onnx_names names = {.x = in[0],
                                    .a = in[a],
                                    .b = in[a + 1],
                                    .p = tern_traced_number(op, "p"),
                                    .q = tern_traced_number(op, "q"),
                                    .r = tern_traced_number(op, "r"),
                                    .dtype = dtype == TERN_BOOL ? TERN_I32 : dtype};
    terni_value v = terni_onnx_formula(g, op->formula, &names);
    return terni_onnx_bind(g, op->out[0], v);
}
