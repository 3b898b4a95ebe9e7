# Weft. `make help` lists the targets; V=1 shows commands; CC=clang works as well as gcc.
#
# One Makefile, objects under build/ (B=DIR for elsewhere), headers tracked by -MMD.

VERSION = 0.1.0
SONAME  = libweft.so.0
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
# Nothing is left open; calls within the library stay in it when a program has another copy.
SOFLAGS = -Wl,-soname,$(SONAME) -Wl,-z,defs -Wl,-Bsymbolic-functions

# Folders in the order of the layers.
TENSOR   = $(sort $(wildcard tensor/*.c))
KERNELS  = $(sort $(wildcard tensor/kernels/*.c))
AUTOGRAD = $(sort $(wildcard autograd/*.c))
COMPILER = $(sort $(wildcard compiler/*.c))
NN       = $(sort $(wildcard nn/*.c))
SHARED   = $(sort $(wildcard models/moving_mnist/*.c models/program/*.c models/text/*.c))
TESTS    = $(sort $(wildcard tests/*.c tests/fuzz/*.c))
BENCH    = $(sort $(wildcard bench/bench_*.c))
BENCHLIB = $(sort $(filter-out $(BENCH),$(wildcard bench/*.c)))

# build/NAME is made of models/NAME/, what models share, and the library. Examples do without what
# models share; models/plugin/ also has a shared object that is no part of the program.
MODELS   = convlstm keras_convlstm shi2015 srivastava2015 lstm_tasks rnnlm mnist_cnn char_gpt
EXAMPLES = plugin sequence_classifier
sources  = $(filter-out %/mish.c,$(sort $(wildcard models/$(1)/*.c)))

LIB_SRC   = $(TENSOR) $(KERNELS) $(AUTOGRAD) $(COMPILER) $(NN)
MODEL_SRC = $(SHARED) $(foreach m,$(MODELS) $(EXAMPLES),$(call sources,$(m)))
obj       = $(patsubst %.c,$(B)/%.o,$(1))
parts     = $(call obj,$(filter-out %/main.c,$(foreach m,$(1),$(call sources,$(m)))))
LIB_OBJ   = $(call obj,$(LIB_SRC)) $(B)/compiler/scalar_text.o
MODEL_OBJ = $(call obj,$(SHARED)) $(call parts,convlstm char_gpt)
# Programs whose other files have names in common are tested from outside.
TEST_OBJ  = $(call obj,$(TESTS) models/srivastava2015/model.c models/keras_convlstm/model.c \
                models/shi2015/model.c) $(call parts,lstm_tasks rnnlm)
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

# Commands build what they need by a make of their own: on all cores, and after `setup` with the
# compiler that is there by then. Two of these at once would write the same files, so commands go
# one after another; `all` beside files is built by the make that builds those.
COMMANDS = $(filter-out all $(B)/%,$(MAKECMDGOALS))
FILES    = $(filter $(B)/%,$(MAKECMDGOALS))
ifneq ($(COMMANDS),)
.NOTPARALLEL:
endif

PRODUCTS = $(B)/libweft.a $(B)/libweft.so $(B)/convlstm
all: $(if $(COMMANDS),,$(if $(FILES),$(PRODUCTS))) ## library and program (the default)
	@+$(if $^,:,$(make) $(PRODUCTS))

# --- building ---------------------------------------------------------------------------------------

# Kernel files carry their instruction set in their name; nothing else is built with one. The
# machine is the compiler's, so that CC=aarch64-linux-gnu-gcc builds for that one.
MACHINE := $(shell $(CC) -dumpmachine 2>/dev/null)
X86 := $(filter x86_64-% amd64-%,$(MACHINE))
ARM := $(filter aarch64-% arm64-%,$(MACHINE))
$(B)/tensor/kernels/%_avx2.o:   ISA = $(if $(X86),-O3 -mavx2 -mfma)
$(B)/tensor/kernels/%_avx512.o: ISA = $(if $(X86),-O3 -mavx512f -mavx512bw -mavx512dq -mavx512vl \
                                        -mavx2 -mfma -mprefer-vector-width=512)
$(B)/tensor/kernels/%_avx512bf16.o: ISA = $(if $(X86),-O3 -mavx512f -mavx512bw -mavx512dq \
                                            -mavx512vl -mavx512bf16 -mavx2 -mfma \
                                            -mprefer-vector-width=512)
$(B)/tensor/kernels/%_amx.o:    ISA = $(if $(X86),-O3 -mavx512f -mavx512bw -mavx512dq -mavx512vl \
                                        -mavx2 -mfma -mamx-tile -mamx-bf16)
$(B)/tensor/kernels/%_neon.o:   ISA = $(if $(ARM),-O3)

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
	$(Q)$(CC) -shared -fopenmp $(OPT) $(CFLAGS) $(SOFLAGS) -o $@ $(LIB_OBJ) $(LIBS)

# The archive that is installed: one object in which only wf_ functions are global, as in the shared
# library. Inner names cannot clash with a program's, nor with those of another copy.
$(B)/package/libweft.a: $(LIB_OBJ)
	@mkdir -p $(@D)
	$(say) AR $@
	$(Q)$(CC) -r -nostdlib -o $(@D)/weft.o $(LIB_OBJ)
	$(Q)objcopy --localize-hidden $(@D)/weft.o
	$(Q)rm -f $@ && ar rcs $@ $(@D)/weft.o && rm -f $(@D)/weft.o

link = $(CC) -fopenmp $(OPT) $(CFLAGS) -o $@ $^

.SECONDEXPANSION:
$(MODELS:%=$(B)/%): $(B)/%: $$(call obj,$$(call sources,$$*)) $(call obj,$(SHARED)) $(B)/libweft.a
	$(say) LD $@
	$(Q)$(link) -lgif $(LIBS)

$(EXAMPLES:%=$(B)/%): $(B)/%: $$(call obj,$$(call sources,$$*)) $(B)/libweft.a
	$(say) LD $@
	$(Q)$(link) $(LIBS)

# What the example of borrowed functions borrows from: it knows nothing of Weft.
$(B)/mish.so: models/plugin/mish.c
	$(say) LD $@
	$(Q)$(CC) -std=gnu11 $(OPT) $(WARN) $(CFLAGS) -fPIC -shared -o $@ $< -lm

$(B)/weft-tests: $(TEST_OBJ) $(MODEL_OBJ) $(B)/libweft.a
	$(say) LD $@
	$(Q)$(link) -lcriterion -lgif $(LIBS)

# oneDNN, a peer of the benchmarks, is used where it is installed; the file says what was found.
$(B)/bench/peer_dnnl.o: $(B)/bench/peers
$(B)/bench/peers: always
	@mkdir -p $(@D)
	@echo 'found: $(PEERS)' | cmp -s - $@ || echo 'found: $(PEERS)' > $@
PEERS = $(shell printf '\043include <oneapi/dnnl/dnnl.h>\nint main(void) { return 0; }\n' | \
            $(CC) -xc - -o /dev/null -ldnnl 2>/dev/null && echo -ldnnl)
$(B)/bench_%: $(B)/bench/bench_%.o $(call obj,$(BENCHLIB)) $(MODEL_OBJ) $(B)/libweft.a
	$(say) LD $@
	$(Q)$(link) -lgif $(PEERS) $(LIBS)
.PRECIOUS: $(B)/bench/%.o

-include $(patsubst %.c,$(B)/%.d,$(LIB_SRC) $(MODEL_SRC) $(TESTS) $(BENCH) $(BENCHLIB) \
    tests/neon/main.c)

# --- using ------------------------------------------------------------------------------------------

setup: ## install what the project needs (apt; dnf, pacman, brew as best effort)
	$(Q)sh .ci/setup

RUN = runs/quick
run: | $(FIRST) ## train a narrow ConvLSTM on built-in digits (a minute or two), evaluate it, draw a GIF
	@+$(make) $(B)/convlstm
	$(Q)sh models/convlstm/quick.sh $(B)/convlstm $(RUN)

run-mnist_cnn: ## the tutorial: learn to read digits (MNIST=DIR: those in DIR; else built-in ones)
	@+$(make) $(B)/mnist_cnn
	$(Q)$(B)/mnist_cnn $(MNIST)

run-char_gpt: ## a small transformer learns the built-in text, and writes
	@+$(make) $(B)/char_gpt
	$(Q)$(B)/char_gpt

run-srivastava2015: ## train six LSTM autoencoders and predictors, print a table, draw a GIF (minutes)
	@+$(make) $(B)/srivastava2015
	$(Q)sh models/srivastava2015/quick.sh $(B)/srivastava2015 runs/srivastava2015

run-keras_convlstm: ## train the Keras example's network, narrowed, and draw what it predicts
	@+$(make) $(B)/keras_convlstm
	$(Q)$(B)/keras_convlstm train --causal

run-shi2015: ## train Shi et al.'s encoder-forecaster, narrowed, and draw what it predicts
	@+$(make) $(B)/shi2015
	$(Q)$(B)/shi2015 train

run-plugin: ## train with an activation function from a plain shared object
	@+$(make) $(B)/plugin $(B)/mish.so
	$(Q)$(B)/plugin $(B)/mish.so

run-lstm_tasks: ## long-lag tasks of the LSTM papers: tables of success rates (some minutes)
	@+$(make) $(B)/lstm_tasks
	$(Q)$(B)/lstm_tasks table
	$(Q)$(B)/lstm_tasks descent

run-rnnlm: ## train four language models on a built-in text (minutes), print their perplexities
	@+$(make) $(B)/rnnlm
	$(Q)$(B)/rnnlm compare

run-sequence_classifier: ## train an LSTM to tell three shapes of waves apart (a second)
	@+$(make) $(B)/sequence_classifier
	$(Q)$(B)/sequence_classifier

test: | $(FIRST) ## build and pass the tests
	@+$(make) $(B)/weft-tests $(B)/convlstm $(B)/plugin $(B)/mish.so $(B)/sequence_classifier
	$(Q)sh tests/run.sh $(B)

N = 20000
fuzz: ## random graphs against the reference: 20,000; N=n so many, FROM=n from there, SEED=n one
	@+$(make) $(B)/weft-tests
	$(Q)WF_FUZZ_N=$(N) WF_FUZZ_FIRST=$(FROM) WF_FUZZ_SEED=$(SEED) \
	    $(B)/weft-tests -j1 --filter 'compiler_random/*'

test-slow: | $(FIRST) ## minutes: 50 kills and 40 signals in training runs, saves under fault injection
	@+$(make) $(B)/weft-tests $(B)/convlstm
	$(Q)sh tests/slow.sh $(B)

PYTHON = python3
JSON = $(B)/results
bench: ## measure, in minutes: verifies each result before timing it, ends with a table (JSON=DIR)
	@+$(make) $(BENCH_BIN) $(B)/convlstm
	$(Q)sh bench/run.sh $(B) quick $(JSON)

bench-peers: ## longer: beside OpenBLAS and oneDNN (libopenblas-dev, libdnnl-dev), PyTorch (PYTHON=)
	@+$(make) $(BENCH_BIN) $(B)/convlstm
	$(Q)sh bench/run.sh $(B) peers $(JSON) $(PYTHON)

bench-eager: ## mnist_cnn and char_gpt beside PyTorch's eager mode (PYTHON=one that has torch)
	@+$(make) $(B)/bench_eager
	$(Q)WF_JIT=sync $(PYTHON) bench/eager.py $(B)/bench_eager

data: ## download MNIST and the official Moving MNIST test file into $(DATA)/
	$(Q)sh models/moving_mnist/fetch.sh $(DATA)

# --- checking ---------------------------------------------------------------------------------------

# Programs outside the tree include what is installed; test-package compiles them.
SOURCES = $(filter-out tests/package/%,$(wildcard $(foreach d,tensor tensor/kernels autograd compiler \
            nn models/* tests tests/* bench,$(d)/*.c $(d)/*.h $(d)/*.inc $(d)/*.def)))

lint: ## no warnings with gcc and clang, headers stand alone and are C++, lengths, widths
	$(Q)sh tests/lint.sh $(SOURCES)

layers: ## the table of who may include whom
	$(Q)sh tests/layers.sh

test-neon: ## the kernels for 64-bit ARM, cross-compiled and under qemu, where both are installed
	$(Q)CC='$(CC)' sh tests/neon.sh

tsan: ## what several threads do at once, under ThreadSanitizer (clang)
	$(Q)sh tests/tsan.sh

san: ## the tests under AddressSanitizer and UndefinedBehaviorSanitizer, and the canaries
	$(Q)sh tests/san.sh

# --- installing -------------------------------------------------------------------------------------

PUBLIC = tensor/base.h tensor/tensor.h tensor/ops.h tensor/ops.def tensor/io.h \
         tensor/cfunction.h tensor/text.h tensor/array.h tensor/op.h tensor/attr.h tensor/graph.h \
         autograd/autograd.h compiler/compiler.h compiler/export.h compiler/function.h nn/nn.h nn/check.h \
         nn/recurrent.h nn/checkpoint.h nn/source.h nn/trainer.h
LIBDEP = -fopenmp $(LIBS)
PACKAGE = B='$(B)' PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' VERSION='$(VERSION)' \
          SONAME='$(SONAME)' LIBS='$(LIBDEP)' HEADERS='$(PUBLIC)' sh .ci/package/install.sh

PACKAGED = $(B)/package/libweft.a $(B)/libweft.so $(B)/convlstm
install: ## headers, libraries, pkg-config and CMake files, program, manuals, completions
	@+$(make) $(PACKAGED)
	$(Q)$(PACKAGE) install

uninstall: ## remove what install put there, and nothing else
	$(Q)$(PACKAGE) uninstall

test-package: | $(FIRST) ## install aside; programs outside the tree against it; README's examples
	@+$(make) $(PACKAGED)
	$(Q)HEADERS='$(PUBLIC)' CC='$(CC)' sh tests/package/run.sh $(B)

optable: ## write the README's table of operations anew
	@+$(make) $(B)/weft-tests
	$(Q)WEFT_OP_TABLE=write $(B)/weft-tests -j1 --filter 'op_table/*'

docs: ## the API reference, $(B)/docs/html/index.html, by Doxygen
	$(Q)HEADERS='$(PUBLIC)' VERSION=$(VERSION) sh .ci/package/docs.sh $(B)/docs

clean: ## remove build/ and the quick run
	$(Q)rm -rf $(B) $(RUN)

help: ## this list
	@sed -n 's/^\([a-z0-9_-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 28

.PHONY: all setup run test test-slow test-neon test-package fuzz bench bench-eager bench-peers \
       always data lint layers san tsan \
       install uninstall optable docs clean help \
       $(addprefix run-,$(filter-out convlstm,$(MODELS)) $(EXAMPLES))
