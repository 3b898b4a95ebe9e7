/* The sequence classifier learns: the program itself is run, for one step and for some. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static void train(const char *program, int steps, double *loss, double *right) {
    char command[1024];
    snprintf(command, sizeof command, "OMP_NUM_THREADS=1 %s %d 2>&1", program, steps);
    FILE *f = popen(command, "r");
    cr_assert(f && fscanf(f, "loss %lf, %lf %%", loss, right) == 2, "%s", command);
    pclose(f);
}

Test(model_sequence_classifier, learns) {
    const char *program = getenv("WEFT_SEQUENCE_CLASSIFIER");
    if (!program) {
        printf("skipped: the sequence classifier (make test sets WEFT_SEQUENCE_CLASSIFIER)\n");
        return;
    }
    double first, last, guessed, right;
    train(program, 1, &first, &guessed);
    train(program, 800, &last, &right);
    cr_assert(last < 0.2 * first, "loss %g, after 800 steps %g", first, last);
    cr_assert(right > 95 && right > guessed, "%g %% of new waves right, then %g %%", guessed,
              right);
}
