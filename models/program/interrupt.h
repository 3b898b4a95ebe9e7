/* SIGINT and SIGTERM end a run in order: the first asks it to finish its step and save, the second
 * ends the process at once. */
#ifndef MODELS_PROGRAM_INTERRUPT_H
#define MODELS_PROGRAM_INTERRUPT_H

/* From now on the first signal is only noted. */
void interrupt_watch(void);

/* The signal that came, 0 before. */
int interrupt_signal(void);

#endif
