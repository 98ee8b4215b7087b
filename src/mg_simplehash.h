/*
 * mg_simplehash.h
 *
 * Makes one hash table of simplehash.h, whose warnings are not ours.  To be
 * read after the SH_ definitions that are particular to it; may be read more
 * than once.
 */
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wunused-function"
#include "lib/simplehash.h"
#pragma GCC diagnostic pop
