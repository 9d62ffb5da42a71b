/* The formulas for the host's compiler and nvcc alike, of the sine and cosine of a x. */
#ifndef FORMULA_H
#define FORMULA_H

#define SNAKE_Y(x, a, sine)          ((x) + (sine) * (sine) / (a))
#define SNAKE_DX(sine, cosine)       (1 + 2 * (sine) * (cosine))
#define SNAKE_DA(x, a, sine, cosine) ((sine) * (2 * (x) * (cosine) - (sine) / (a)) / (a))

#endif
