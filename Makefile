# Weft. `make help` lists the targets; V=1 shows commands; CC=clang works as well as gcc.
#
# One Makefile, objects under build/ (B=DIR for elsewhere), headers tracked by -MMD.

VERSION = 0.1.0
CC     ?= gcc
OPT    ?= -O2 -g
B      ?= build
PREFIX ?= /usr/local
DATA   ?= data

# Each warning has caught something: shadowed counters, missing prototypes that hide typos in names,
# variable-length arrays that overflow stacks, arithmetic on void pointers.
WARN = -Wall -Wextra \
       -Wshadow \
       -Wstrict-prototypes \
       -Wmissing-prototypes \
       -Wpointer-arith \
       -Wvla \
       -Wno-unused-parameter
# The floating-point contract of the library: a fused multiply-add appears only where it is written,
# and nothing is reassociated. The last two allow vector code and change no finite result.
FP   = -ffp-contract=off -fno-math-errno -fno-trapping-math

FLAGS = -std=gnu11 $(OPT) $(WARN) $(WERROR) $(FP) -fopenmp -fPIC -fvisibility=hidden \
        -I. -MMD -MP $(CFLAGS)
LIBS  = -lffi -ljansson -lmd -lz -lm -ldl -lpthread

# Folders in the order of the layers.
TENSOR   = $(sort $(wildcard tensor/*.c))
KERNELS  = $(sort $(wildcard tensor/kernels/*.c))
AUTOGRAD = $(sort $(wildcard autograd/*.c))
COMPILER = $(sort $(wildcard compiler/*.c))
NN       = $(sort $(wildcard nn/*.c))
SHARED   = $(sort $(wildcard models/moving_mnist/*.c models/program/*.c))
CONVLSTM = $(sort $(wildcard models/convlstm/*.c))
VIDEO    = $(sort $(wildcard models/keras_convlstm/*.c models/shi2015/*.c))
TESTS    = $(sort $(wildcard tests/*.c tests/fuzz/*.c))
BENCH    = $(sort $(wildcard bench/bench_*.c))
BENCHLIB = $(sort $(filter-out $(BENCH),$(wildcard bench/*.c)))

LIB_SRC   = $(TENSOR) $(KERNELS) $(AUTOGRAD) $(COMPILER) $(NN)
MODEL_SRC = $(SHARED) $(CONVLSTM) $(VIDEO)
obj       = $(patsubst %.c,$(B)/%.o,$(1))
LIB_OBJ   = $(call obj,$(LIB_SRC)) $(B)/compiler/scalar_text.o
MODEL_OBJ = $(call obj,$(SHARED) $(filter-out models/convlstm/main.c,$(CONVLSTM)) \
                  models/keras_convlstm/model.c models/shi2015/model.c)
TEST_OBJ  = $(call obj,$(TESTS))
BENCH_BIN = $(patsubst bench/%.c,$(B)/%,$(BENCH))

ifeq ($(V),1)
Q =
say = @:
else
Q = @
say = @printf '  %-6s %s\n'
endif

# `make setup run` must set up first, also under -j.
FIRST = $(filter setup,$(MAKECMDGOALS))
JOBS  = $(shell nproc 2>/dev/null || echo 2)
make  = $(MAKE) --no-print-directory -s $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS))

all: ## library and program (the default)
	@+$(make) $(B)/libweft.a $(B)/libweft.so $(B)/convlstm

# --- building ---------------------------------------------------------------------------------------

# Kernel files carry their instruction set in their name; nothing else is built with one.
X86 := $(filter x86_64 amd64,$(shell uname -m))
$(B)/tensor/kernels/%_avx2.o:   ISA = $(if $(X86),-O3 -mavx2 -mfma)
$(B)/tensor/kernels/%_avx512.o: ISA = $(if $(X86),-O3 -mavx512f -mavx512bw -mavx512dq -mavx512vl \
                                        -mavx2 -mfma -mprefer-vector-width=512)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(FLAGS) $(ISA) -c $< -o $@

# tensor/scalar.h as a string, for generated code.
$(B)/compiler/scalar_text.c: tensor/scalar.h
	@mkdir -p $(@D)
	$(say) TEXT $<
	$(Q){ echo 'extern const char wf_scalar_text[]; const char wf_scalar_text[] =' && \
	    sed 's/[\\"]/\\&/g; s/.*/"&\\n"/' $< && echo ';'; } > $@
$(B)/compiler/scalar_text.o: $(B)/compiler/scalar_text.c
	$(Q)$(CC) $(FLAGS) -c $< -o $@

$(B)/libweft.a: $(LIB_OBJ)
	$(say) AR $@
	$(Q)rm -f $@ && ar rcs $@ $(LIB_OBJ)

$(B)/libweft.so: $(LIB_OBJ)
	$(say) LD $@
	$(Q)$(CC) -shared -fopenmp $(OPT) $(CFLAGS) -Wl,-soname,libweft.so.0 -o $@ $(LIB_OBJ) $(LIBS)

$(B)/convlstm: $(B)/models/convlstm/main.o $(MODEL_OBJ) $(B)/libweft.a
	$(say) LD $@
	$(Q)$(CC) -fopenmp $(OPT) $(CFLAGS) -o $@ $^ -lgif $(LIBS)

# Models with a program of their own: build/NAME from models/NAME/.
$(B)/keras_convlstm $(B)/shi2015: $(B)/%: $(call obj,$(SHARED)) $(B)/libweft.a
	$(say) LD $@
	$(Q)$(CC) -fopenmp $(OPT) $(CFLAGS) -o $@ $(filter %.o,$^) $(B)/libweft.a -lgif $(LIBS)
$(B)/keras_convlstm: $(call obj,$(filter models/keras_convlstm/%,$(VIDEO)))
$(B)/shi2015: $(call obj,$(filter models/shi2015/%,$(VIDEO)))

# The example of borrowed functions: a program, and a shared object that knows nothing of Weft.
$(B)/plugin: $(B)/models/plugin/plugin.o $(B)/libweft.a
	$(say) LD $@
	$(Q)$(CC) -fopenmp $(OPT) $(CFLAGS) -o $@ $^ $(LIBS)
$(B)/mish.so: models/plugin/mish.c
	$(say) LD $@
	$(Q)$(CC) -std=gnu11 $(OPT) $(WARN) $(CFLAGS) -fPIC -shared -o $@ $< -lm

$(B)/weft-tests: $(TEST_OBJ) $(MODEL_OBJ) $(B)/libweft.a
	$(say) LD $@
	$(Q)$(CC) -fopenmp $(OPT) $(CFLAGS) -o $@ $^ -lcriterion -lgif $(LIBS)

$(B)/bench_%: $(B)/bench/bench_%.o $(call obj,$(BENCHLIB)) $(MODEL_OBJ) $(B)/libweft.a
	$(say) LD $@
	$(Q)$(CC) -fopenmp $(OPT) $(CFLAGS) -o $@ $^ -lgif $(LIBS)
.PRECIOUS: $(B)/bench/%.o

-include $(patsubst %.c,$(B)/%.d,$(LIB_SRC) $(MODEL_SRC) models/plugin/plugin.c $(TESTS) $(BENCH) \
    $(BENCHLIB))

# --- using ------------------------------------------------------------------------------------------

setup: ## install what the project needs (apt; dnf, pacman, brew as best effort)
	$(Q)sh .ci/setup

RUN = runs/quick
run: | $(FIRST) ## train a narrow ConvLSTM on built-in digits (a minute or two), evaluate it, draw a GIF
	@+$(make) $(B)/convlstm
	$(Q)sh models/convlstm/quick.sh $(B)/convlstm $(RUN)

run-keras_convlstm: ## train the Keras example's network, narrowed, and draw what it predicts
	@+$(make) $(B)/keras_convlstm
	$(Q)$(B)/keras_convlstm train --causal

run-shi2015: ## train Shi et al.'s encoder-forecaster, narrowed, and draw what it predicts
	@+$(make) $(B)/shi2015
	$(Q)$(B)/shi2015 train

run-plugin: ## train with an activation function from a plain shared object
	@+$(make) $(B)/plugin $(B)/mish.so
	$(Q)$(B)/plugin $(B)/mish.so

test: | $(FIRST) ## build and pass the tests
	@+$(make) $(B)/weft-tests $(B)/convlstm $(B)/plugin $(B)/mish.so
	$(Q)sh tests/run.sh $(B)

N = 20000
fuzz: ## random graphs against the reference: 20,000; N=n so many, FROM=n from there, SEED=n one
	@+$(make) $(B)/weft-tests
	$(Q)WF_FUZZ_N=$(N) WF_FUZZ_FIRST=$(FROM) WF_FUZZ_SEED=$(SEED) \
	    $(B)/weft-tests -j1 --filter 'compiler_random/*'

test-slow: | $(FIRST) ## minutes: 50 kills of a training run, and its saves under fault injection
	@+$(make) $(B)/weft-tests $(B)/convlstm
	$(Q)sh tests/slow.sh $(B)

bench: ## measure: verifies each result before timing it
	@+$(make) $(BENCH_BIN) $(B)/convlstm
	$(Q)sh bench/run.sh $(B)

data: ## download MNIST and the official Moving MNIST test file into $(DATA)/
	$(Q)sh models/moving_mnist/fetch.sh $(DATA)

# --- checking ---------------------------------------------------------------------------------------

SOURCES = $(wildcard $(foreach d,tensor tensor/kernels autograd compiler nn models/* tests tests/* \
            bench,$(d)/*.c $(d)/*.h $(d)/*.inc $(d)/*.def))

lint: ## no warnings with gcc and clang, headers stand alone and are C++, lengths, widths
	$(Q)sh tests/lint.sh $(SOURCES)

layers: ## the table of who may include whom
	$(Q)sh tests/layers.sh

san: ## the tests under AddressSanitizer and UndefinedBehaviorSanitizer, and the canaries
	$(Q)sh tests/san.sh

# --- installing -------------------------------------------------------------------------------------

INC = $(DESTDIR)$(PREFIX)/include/weft
PUBLIC = tensor/base.h tensor/tensor.h tensor/ops.h tensor/ops.def tensor/io.h \
         tensor/cfunction.h tensor/text.h tensor/array.h tensor/op.h tensor/attr.h tensor/graph.h \
         autograd/autograd.h compiler/compiler.h compiler/function.h nn/nn.h nn/check.h \
         nn/recurrent.h nn/checkpoint.h nn/source.h nn/trainer.h

SHARE = $(DESTDIR)$(PREFIX)/share
MAN1  = $(SHARE)/man/man1/convlstm.1
BASHC = $(SHARE)/bash-completion/completions/convlstm
ZSHC  = $(SHARE)/zsh/site-functions/_convlstm

install: all ## headers, libraries, pkg-config file, program, its manual and completions
	$(Q)mkdir -p $(INC) $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/bin \
	    $(dir $(MAN1) $(BASHC) $(ZSHC))
	$(Q)for h in $(PUBLIC); do \
	    sed 's,#include "[a-z]*/\(.*\)",#include <weft/\1>,' $$h > $(INC)/$$(basename $$h) || exit 1; \
	    chmod 644 $(INC)/$$(basename $$h); done
	$(Q)install -m 644 $(B)/libweft.a $(DESTDIR)$(PREFIX)/lib/
	$(Q)install -m 755 $(B)/libweft.so $(DESTDIR)$(PREFIX)/lib/libweft.so.$(VERSION)
	$(Q)ln -sf libweft.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/libweft.so.0
	$(Q)ln -sf libweft.so.0 $(DESTDIR)$(PREFIX)/lib/libweft.so
	$(Q)install -m 755 $(B)/convlstm $(DESTDIR)$(PREFIX)/bin/
	$(Q)$(B)/convlstm --man > $(MAN1)
	$(Q)$(B)/convlstm --completion bash > $(BASHC)
	$(Q)$(B)/convlstm --completion zsh > $(ZSHC)
	$(Q)chmod 644 $(MAN1) $(BASHC) $(ZSHC)
	$(Q)printf '%s\n' 'prefix=$(PREFIX)' 'Name: weft' 'Description: neural networks as plain C programs' \
	    'Version: $(VERSION)' 'Cflags: -I$${prefix}/include' 'Libs: -L$${prefix}/lib -lweft' \
	    'Libs.private: -fopenmp $(LIBS)' > $(DESTDIR)$(PREFIX)/lib/pkgconfig/weft.pc

uninstall: ## remove what install put there
	$(Q)rm -rf $(INC)
	$(Q)rm -f $(DESTDIR)$(PREFIX)/lib/libweft.a $(DESTDIR)$(PREFIX)/lib/libweft.so* \
	    $(DESTDIR)$(PREFIX)/lib/pkgconfig/weft.pc $(DESTDIR)$(PREFIX)/bin/convlstm \
	    $(MAN1) $(BASHC) $(ZSHC)

clean: ## remove build/ and the quick run
	$(Q)rm -rf $(B) $(RUN)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 14

.PHONY: all setup run run-keras_convlstm run-shi2015 run-plugin test test-slow fuzz bench data \
        lint layers san install uninstall clean help
