/* Groups as C text.
 *
 * One file holds the functions of many groups: tensor/scalar.h, one small function for each
 * operation and dtype in use, then the groups. It includes nothing. */
#ifndef WEFT_CODE_TEXT_H
#define WEFT_CODE_TEXT_H

#include "compiler/group.h"

/* tensor/scalar.h, put into the library when it is built. */
extern const char wf_scalar_text[];

/* What stands between tensor/scalar.h and the functions of the groups. */
#define WF_CODE_MARK "/* --- operations and groups --- */\n"

enum { WF_CODE_NAME = 40 }; /* "wf_group_", 24 hexadecimal digits, and the end */

/* False if some step has no C text: an operation without expr, a cast from or to f16. */
bool wf_code_can(const wf_group *g);

/* True if rows of the group are short and end in part of a vector. */
bool wf_code_tails(const wf_group *g);

/* The name of the group's function: a digest of its body, in which values are numbered by position.
 * Equal names are equal functions. False: out of memory. */
bool wf_code_name(const wf_group *g, char name[WF_CODE_NAME]);

/* The whole file for n groups with wf_code_can, in this order. Owner: the caller frees it. NULL:
 * out of memory. */
char *wf_code_text(const wf_group *const *groups, size_t n);

#endif
