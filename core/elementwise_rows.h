/* The rows of elementwise.def as elementwise.c has them at run time: names, classes, and the texts of their formulas.
 * Private to that file. */
#ifndef TERNI_ELEMENTWISE_ROWS_H
#define TERNI_ELEMENTWISE_ROWS_H

#include "backend.h"

typedef struct unary_row {
    const char *name, *value, *curvature;
    bool numbers;    /* takes integers */
    bool by_y;       /* slope and curvature from y */
    bool parameters; /* one to three */
    bool f32;        /* under autocast */
} unary_row;

static const unary_row unary_rows[TERNI_UNARY_COUNT] = {
#define TERN_UNARY(name, dt, lo, hi, y, dy, d2y)              {#name, #y, #d2y, #dt[0] == 'N', false, false, false},
#define TERN_UNARY_Y(name, dt, lo, hi, y, dy, d2y)            {#name, #y, #d2y, #dt[0] == 'N', true, false, false},
#define TERN_UNARY_P(name, dt, lo, hi, p, y, dy, d2y)         {#name, #y, #d2y, #dt[0] == 'N', false, true, false},
#define TERN_UNARY_PQ(name, dt, lo, hi, p, q, y, dy, d2y)     {#name, #y, #d2y, #dt[0] == 'N', false, true, false},
#define TERN_UNARY_PQR(name, dt, y, dy, d2y)                  {#name, #y, #d2y, #dt[0] == 'N', false, true, false},
#define TERN_UNARY_F32(name, dt, lo, hi, y, dy, d2y)          {#name, #y, #d2y, #dt[0] == 'N', false, false, true},
#define TERN_UNARY_Y_F32(name, dt, lo, hi, y, dy, d2y)        {#name, #y, #d2y, #dt[0] == 'N', true, false, true},
#define TERN_UNARY_PQ_F32(name, dt, lo, hi, p, q, y, dy, d2y) {#name, #y, #d2y, #dt[0] == 'N', false, true, true},
#include "elementwise.def"
};

typedef struct binary_row {
    const char *name, *value, *da, *db;
    char dtypes; /* 'F', 'N', 'W' */
    bool f32;    /* under autocast */
} binary_row;

static const binary_row binary_rows[TERNI_BINARY_COUNT] = {
#define TERN_BINARY(name, dt, lo, hi, value, da, db)     {#name, #value, #da, #db, #dt[0], false},
#define TERN_BINARY_F32(name, dt, lo, hi, value, da, db) {#name, #value, #da, #db, #dt[0], true},
#include "elementwise.def"
};

typedef struct ternary_row {
    const char *name, *value, *partials[3];
} ternary_row;

static const ternary_row ternary_rows[TERNI_TERNARY_COUNT] = {
#define TERN_TERNARY(name, value, dx, da, db) {#name, #value, {#dx, #da, #db}},
#include "elementwise.def"
};

typedef struct test_row { /* with a result of bool */
    const char *name, *value;
} test_row;

static const test_row compare_rows[] = {
#define TERN_COMPARE(name, value) {#name, #value},
#include "elementwise.def"
};

static const test_row test_rows[] = {
#define TERN_TEST_OF(name, value) {#name, #value},
#include "elementwise.def"
};

typedef struct bits_row {
    const char *name, *value;
    bool bools; /* takes bool */
} bits_row;

static const bits_row bits_rows[] = {
#define TERN_BITS(name, dt, value) {#name, #value, #dt[0] == 'B'},
#include "elementwise.def"
};

#endif
