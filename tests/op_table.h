/* The README's table of operations, made from the descriptors: what an operation takes and gives is
 * asked of its shape rule, its gradient of its gradient rule or the row of tensor/ops.def. */
#ifndef WEFT_TESTS_OP_TABLE_H
#define WEFT_TESTS_OP_TABLE_H

#include <stdio.h>

/* Writes the table as Markdown: header, then a row an operation. */
void op_table_write(FILE *f);

#endif
