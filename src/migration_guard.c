/*
 * migration_guard.c
 *
 * Owns the module as PostgreSQL sees it: the magic block and the one function
 * that is called when the library is loaded.  That can happen in the
 * postmaster (shared_preload_libraries), at the start of a session
 * (session_preload_libraries, local_preload_libraries), by LOAD, by the first
 * call of one of its functions, or in the middle of a session's first DDL
 * statement, when the event trigger of the extension fires.
 */
#include "mg.h"

PG_MODULE_MAGIC;

void _PG_init(void);

/* Settings first: everything else may read them. */
void
_PG_init(void)
{
	mg_guc_init();
	mg_stats_init();
	mg_hook_init();
}
