/* SIGINT and SIGTERM as a question that a loop asks: has somebody told us to stop? */
#ifndef INTERRUPT_H
#define INTERRUPT_H

#include <stdbool.h>

/* From now on the first signal is only noted, and a second one ends the program at once. */
void interrupt_catch(void);
bool interrupt_seen(void);
/* "SIGINT" or "SIGTERM". */
const char *interrupt_name(void);

#endif
