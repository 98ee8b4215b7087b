# migration_guard: a PostgreSQL extension that stands between a migration and
# a production table.  `make help` lists what can be done here.

EXTENSION  = migration_guard
MODULE_big = migration_guard
DATA       = $(wildcard migration_guard--*.sql)
PGFILEDESC = "migration_guard - judges DDL before it takes a lock"

SOURCES    = $(sort $(wildcard src/*.c))
INCLUDES   = $(sort $(wildcard src/*.h))
OBJS       = $(SOURCES:.c=.o)

PG_CPPFLAGS = -Isrc
PG_CFLAGS   = -std=gnu11 -Wall -Wextra -Werror=implicit-function-declaration
ifdef WERROR
PG_CFLAGS += -Werror
endif

# installcheck makes servers of its own, with the library preloaded.
ENCODING    = UTF8
NO_LOCALE   = 1
TEMP_CONFIG = --temp-config=$(CURDIR)/test/migration_guard.conf

REGRESS        = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))
REGRESS_OPTS   = --temp-instance=tmp_check $(TEMP_CONFIG)
REGRESS_PREP   = refuse-root
ISOLATION      = $(patsubst test/isolation/specs/%.spec,%,$(sort $(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation --temp-instance=tmp_check_iso $(TEMP_CONFIG)
TAP_TESTS      = 1
PROVE_TESTS   ?= test/t/*.pl

PG_CONFIG ?= pg_config
PGXS      := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

ifneq ($(wildcard $(PGXS)),)

# Bitcode for the JIT needs the clang that the server was built with.
CLANG_OF_SERVER := $(shell sed -n 's/^CLANG = //p' $(dir $(PGXS))../Makefile.global)
ifeq ($(shell command -v $(CLANG_OF_SERVER)),)
override with_llvm := no
endif

include $(PGXS)

# PGXS has no dependencies of its own on headers.
$(OBJS) $(OBJS:.o=.bc): $(INCLUDES)

else

all install uninstall installcheck clean:
	@echo "$@: no PostgreSQL server headers found by \"$(PG_CONFIG)\"." >&2
	@echo "Install postgresql-server-dev-15, or set PG_CONFIG=/path/to/pg_config." >&2
	@exit 1

endif

# What follows needs no PG_CONFIG: each command does its own set-up.

DISTVERSION = $(shell sed -n 's/^   "version": "\(.*\)",$$/\1/p' META.json)

.PHONY: help demo test test-matrix bench bench-locks format format-check lint dist refuse-root

help:            ## this list
	@echo 'make, make install, make installcheck, make clean: as in every PostgreSQL'
	@echo 'extension; PG_CONFIG=/path/to/pg_config chooses the server.'
	@echo
	@sed -n 's/^\([a-z-]*\): *## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

demo:            ## play three migration stories on a throwaway server
	@demo/demo.sh

test:            ## build with -Werror and run all tests on throwaway servers
	@test/run

test-matrix:     ## the same on PostgreSQL 17, 18 and 19, in Debian environments of their own
	@test/matrix

bench:           ## measure what the guard costs
	@bench/run

bench-locks:     ## measure for how long others stand still while DDL gets its locks
	@bench/locks

format:          ## lay the C sources out with clang-format
	@clang-format -i $(SOURCES) $(INCLUDES)

format-check:    ## fail if `make format` would change anything
	@test/lib/lint format

lint:            ## cppcheck and clang-tidy, both without findings
	@test/lib/lint cppcheck tidy

dist:            ## migration_guard-VERSION.zip from the last commit, for PGXN
	git archive --format=zip --prefix=migration_guard-$(DISTVERSION)/ \
		--output=migration_guard-$(DISTVERSION).zip HEAD

refuse-root:
	@test "$$(id -u)" != 0 || { echo 'installcheck starts servers, which cannot run as root:' \
		'use another user, or "make test".' >&2; exit 1; }
