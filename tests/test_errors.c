/* The mistakes that everybody makes at first, and the one sentence that each of them gives: where
 * in the model, what it was with its shapes, and what to do. Texts are compared in full. */
#include <criterion/criterion.h>
#include <string.h>

#include "nn/nn.h"

/* A graph of which scope "net" is entered, parameters, and the usual inputs. */
static wf_graph *g;
static wf_params *p;
static wf_tensor x, none;

static void begin(void) {
    g = wf_graph_new();
    p = wf_params_new(1);
    wf_scope_push(g, "net");
    x = wf_input(g, "x", WF_F32, WF_SHAPE(2, 3));
    none = (wf_tensor){0};
}
static void end(void) {
    wf_params_free(p);
    wf_graph_free(g);
}
TestSuite(errors, .init = begin, .fini = end);

static wf_tensor input(const char *name, wf_dtype dtype, wf_shape shape) {
    return wf_input(g, name, dtype, shape);
}
static wf_tensor linear(const char *name, wf_tensor from, int64_t out) {
    return wf_nn_linear(p, name, from, (wf_linear_opt){.out = out});
}

/* The graph's message is `text`, and compiling fails with it. */
static void says(wf_tensor y, const char *text) {
    wf_program *program;
    cr_assert(!wf_ok(y));
    cr_assert_str_eq(wf_graph_message(g), text);
    cr_assert_eq(wf_compile(&program, g, &y, 1, (wf_compile_opt){0}), WF_MODEL);
    cr_assert_str_eq(wf_error(), text);
    cr_assert_null(program);
}
static void error_is(const char *text) { cr_assert_str_eq(wf_error(), text); }

/* --- wrong shape ------------------------------------------------------------------------------ */

Test(errors, shapes_of_a_product) {
    says(wf_matmul(x, input("w", WF_F32, WF_SHAPE(4, 3))),
         "net/matmul: a f32[2,3] has 3 columns, b f32[4,3] has 4 rows; transpose one of them, or "
         "make them agree");
}

Test(errors, shapes_that_do_not_broadcast) {
    says(wf_add(x, input("b", WF_F32, WF_SHAPE(2))),
         "net/add: [2,3] and [2] (operand 1) do not broadcast; extents must be equal or 1, from "
         "the last axis on (operands: f32[2,3], f32[2])");
}

Test(errors, shape_to_fill) {
    says(wf_reshape(x, WF_SHAPE(4, 2)),
         "net/reshape: x [2,3] has 6 elements, which do not fill shape [4,2]; one extent may be "
         "-1, to be found (operands: f32[2,3])");
}

Test(errors, shapes_to_concatenate) {
    const wf_tensor parts[] = {x, input("y", WF_F32, WF_SHAPE(2, 4))};
    says(wf_concat(parts, 2, 0),
         "net/concat: input 1 is f32[2,4], input 0 is f32[2,3]; only the axis of the concatenation "
         "may differ (operands: f32[2,3], f32[2,4])");
}

Test(errors, channels_of_a_convolution) {
    const wf_tensor image = input("image", WF_F32, WF_SHAPE(2, 8, 8, 3));
    says(wf_conv(image, input("w", WF_F32, WF_SHAPE(4, 3, 3, 1)), (wf_conv_opt){0}),
         "net/conv: x f32[2,8,8,3] has 3 channels, w f32[4,3,3,1] expects 1; channels are the last "
         "axis of both");
}

Test(errors, axes_of_a_layers_input) {
    says(wf_nn_conv2d(p, "conv1", x, (wf_conv_layer_opt){.out = 4, .kernel = 3}),
         "net/conv1: x f32[2,3] is not real (N, H, W, C); use wf_reshape");
}

Test(errors, axes_of_a_sequence) {
    says(wf_nn_lstm(p, "rnn", x, (wf_lstm_opt){.hidden = 4}),
         "net/rnn: x f32[2,3] is not real (T, N, C) with T >= 1; use wf_reshape");
}

Test(errors, a_layer_of_two_sizes) {
    linear("fc", x, 4);
    says(linear("fc", input("y", WF_F32, WF_SHAPE(2, 5)), 4),
         "net/fc: parameter \"fc.weight\" is f32[4,3], asked for as f32[4,5]; give the layer "
         "another name or the former sizes");
}

Test(errors, shape_of_a_target) {
    says(wf_nn_mse(x, input("target", WF_F32, WF_SHAPE(2, 1))),
         "net/mse: y f32[2,3] and target f32[2,1]; both must be real and of one shape");
}

Test(errors, classes_as_rows_of_zeros_and_ones) {
    says(wf_nn_cross_entropy(x, input("label", WF_I32, WF_SHAPE(2, 3))),
         "net/cross_entropy: logits [2,3] and index [2,3] are not (N.., C) and (N..); give one "
         "class a row");
}

/* --- wrong dtype ------------------------------------------------------------------------------ */

Test(errors, dtypes_that_differ) {
    says(wf_add(x, input("y", WF_F64, WF_SHAPE(2, 3))),
         "net/add: operand 0 is f32, operand 1 is f64; use wf_cast (operands: f32[2,3], "
         "f64[2,3])");
}

Test(errors, dtypes_of_a_product) {
    says(wf_matmul(x, input("w", WF_F64, WF_SHAPE(3, 3))),
         "net/matmul: a f32[2,3] and b f64[3,3]; expected one dtype, f32 or f64; use wf_cast");
}

Test(errors, whole_numbers_in_a_function_of_reals) {
    says(wf_sigmoid(input("y", WF_I32, WF_SHAPE(2))),
         "net/sigmoid: operand 0 is i32, needs f32 or f64; use wf_cast (operands: i32[2])");
}

Test(errors, bytes_into_a_layer) {
    says(linear("fc", input("image", WF_U8, WF_SHAPE(2, 9)), 4),
         "net/fc: x u8[2,9] is not real (.., C); use wf_cast");
}

Test(errors, real_labels) {
    says(wf_nn_cross_entropy(x, input("label", WF_F32, WF_SHAPE(2))),
         "net/take_along: the index is f32; cast it to i32 or i64 (operands: f32[2,3], f32[2,1])");
}

/* --- a forgotten input ------------------------------------------------------------------------ */

Test(errors, an_operand_that_was_never_set) {
    says(wf_mul(x, none),
         "net/mul: operand 1 is an empty handle; was it ever assigned a value?");
}

Test(errors, a_factor_that_was_never_set) {
    says(wf_matmul(none, x),
         "net/matmul: operand 0 is an empty handle; was it ever assigned a value?");
}

Test(errors, nothing_but_what_was_never_set) {
    wf_program *program;
    const wf_tensor y = linear("fc", none, 4);
    cr_assert_eq(wf_compile(&program, g, &y, 1, (wf_compile_opt){0}), WF_ARGUMENT);
    error_is("wf_compile: output 0 is an empty handle; was it, or what it is computed from, ever "
             "assigned a value?");
}

Test(errors, an_input_without_a_value) {
    float y[6];
    cr_assert_eq(wf_eval(wf_relu(x), y, sizeof y), WF_ARGUMENT);
    error_is("wf_eval: %2 depends on input \"x\"; compile a program and write the input");
}

/* A step on inputs "x" and "target", over data with the given parts. */
static wf_status train_on(const char *const *name, int n, bool more_inputs) {
    static const float data[8 * 3];
    wf_source_part part[3] = {{0}};
    wf_source *source;
    wf_program *step;
    wf_trainer_result result;
    const wf_tensor target = input("target", WF_F32, WF_SHAPE(2, 1));
    const wf_tensor loss = wf_name(wf_nn_mse(linear("fc", x, 1), target), "loss");
    wf_nn_sgd(p, loss, (wf_optimizer_opt){.lr = 0.1});
    cr_assert_eq(wf_compile(&step, g, &loss, 1, (wf_compile_opt){0}), WF_OK);
    for (int i = 0; i < n; i++)
        part[i] = (wf_source_part){.name = name[i], .data = data,
                                   .shape = WF_SHAPE(8, strcmp(name[i], "x") ? 1 : 3)};
    cr_assert_eq(wf_source_open(&source, part, n), WF_OK);
    const wf_trainer trainer = {.params = p, .program = step, .data = source, .steps = 1,
                                .more_inputs = more_inputs};
    const wf_status status = wf_trainer_run(&trainer, &result);
    wf_source_close(source);
    wf_program_free(step);
    return status;
}

Test(errors, data_without_a_part) {
    static const char *const parts[] = {"x"};
    cr_assert_eq(train_on(parts, 1, false), WF_ARGUMENT);
    error_is("trainer: nothing fills the program's input \"target\"; make it a part of the data, "
             "or write it yourself and set more_inputs");
}

Test(errors, data_without_a_part_on_purpose) {
    static const char *const parts[] = {"x"};
    cr_assert_eq(train_on(parts, 1, true), WF_OK, "%s", wf_error());
}

Test(errors, data_with_a_part_too_many) {
    static const char *const parts[] = {"x", "target", "label"};
    cr_assert_eq(train_on(parts, 3, false), WF_ARGUMENT);
    error_is("trainer: the program has no input \"label\", which the data fills; name parts of the "
             "data as inputs are named");
}

/* --- two graphs ------------------------------------------------------------------------------- */

Test(errors, operands_of_two_graphs) {
    wf_graph *other = wf_graph_new();
    says(wf_add(x, wf_input(other, "y", WF_F32, WF_SHAPE(2, 3))),
         "net/add: operand 1, f32[2,3], belongs to another graph; build both in one graph");
    wf_graph_free(other);
}

Test(errors, factors_of_two_graphs) {
    wf_graph *other = wf_graph_new();
    says(wf_matmul(x, wf_input(other, "w", WF_F32, WF_SHAPE(3, 4))),
         "net/matmul: operand 1, f32[3,4], belongs to another graph; build both in one graph");
    wf_graph_free(other);
}

Test(errors, images_of_two_graphs) {
    wf_graph *other = wf_graph_new();
    const wf_tensor image = input("image", WF_F32, WF_SHAPE(1, 8, 8, 1));
    says(wf_conv(image, wf_input(other, "w", WF_F32, WF_SHAPE(4, 3, 3, 1)), (wf_conv_opt){0}),
         "net/conv: operand 1, f32[4,3,3,1], belongs to another graph; build both in one graph");
    wf_graph_free(other);
}

Test(errors, output_of_another_graph) {
    wf_graph *other = wf_graph_new();
    wf_program *program;
    cr_assert_eq(wf_compile(&program, other, &x, 1, (wf_compile_opt){0}), WF_ARGUMENT);
    error_is("wf_compile: output 0 belongs to another graph; build all outputs in the graph that "
             "is compiled");
    wf_graph_free(other);
}

/* --- a loss that is no scalar ----------------------------------------------------------------- */

Test(errors, loss_that_is_no_scalar) {
    wf_tensor gradient;
    const wf_tensor loss = wf_square(wf_sub(linear("fc", x, 4), wf_ones_like(linear("fc", x, 4))));
    cr_assert_eq(wf_grad(loss, &x, 1, &gradient), WF_MODEL);
    error_is("wf_grad: y must have one element, it is f32[2,4] (net/square); use wf_sum or "
             "wf_mean");
    says(wf_nn_adam(p, loss, (wf_optimizer_opt){0}),
         "net/optimizer/wf_grad: y must have one element, it is f32[2,4] (net/square); use wf_sum "
         "or wf_mean");
}

Test(errors, loss_without_parameters) {
    says(wf_nn_adam(p, wf_mean(x, (wf_reduce_opt){0}), (wf_optimizer_opt){0}),
         "net/optimizer/optimizer: the graph uses no trainable parameter of these parameters; "
         "build its layers with them first");
}

/* --- programs --------------------------------------------------------------------------------- */

Test(errors, running_what_was_not_compiled) {
    float data[6] = {0};
    cr_assert_eq(wf_run(NULL), WF_ARGUMENT);
    error_is("wf_run: the program is NULL; make one of the graph with wf_compile");
    cr_assert_eq(wf_write(NULL, x, data, sizeof data), WF_ARGUMENT);
    error_is("wf_write: the program is NULL; make one of the graph with wf_compile");
    cr_assert_null(wf_data(NULL, x));
    error_is("wf_data: the program is NULL; make one of the graph with wf_compile");
    cr_assert_null(wf_data_named(NULL, "x", NULL));
    error_is("wf_data_named: the program is NULL; make one of the graph with wf_compile");
}

Test(errors, buffers_of_a_program) {
    wf_program *program;
    float data[8] = {0};
    const wf_tensor hidden = linear("fc", x, 4), y = wf_name(wf_relu(hidden), "y");
    cr_assert_eq(wf_compile(&program, g, &y, 1, (wf_compile_opt){0}), WF_OK);

    cr_assert_eq(wf_write(program, x, data, 6), WF_ARGUMENT);
    error_is("wf_write: \"x\" f32[2,3] has 24 bytes, 6 were given; give the size of all its "
             "elements, in bytes");
    cr_assert_eq(wf_read(program, y, data, 8), WF_ARGUMENT);
    error_is("wf_read: \"y\" f32[2,4] has 32 bytes, 8 were given; give the size of all its "
             "elements, in bytes");
    cr_assert_eq(wf_write(program, y, data, sizeof data), WF_ARGUMENT);
    error_is("wf_write: \"y\" is an output; write inputs and leaves, and read this with wf_read");
    cr_assert_eq(wf_read(program, none, data, sizeof data), WF_ARGUMENT);
    error_is("wf_read: the handle is empty; was it ever assigned a value?");
    cr_assert_null(wf_data_named(program, "hidden", NULL));
    error_is("wf_data_named: the program has no input, output or leaf \"hidden\"; name the value "
             "with wf_name and list it among the outputs of wf_compile");

    const char *rest = "(net/fc/reshape f32[2,4]) is no input, output or leaf of the program; list "
                       "it among the outputs of wf_compile";
    cr_assert_eq(wf_read(program, hidden, data, sizeof data), WF_ARGUMENT);
    cr_assert(strncmp(wf_error(), "wf_read: %", 10) == 0 && strstr(wf_error(), rest), "%s",
              wf_error());
    cr_assert_str_eq(strstr(wf_error(), "(net"), rest);
    wf_program_free(program);
}

/* The handle outlives its graph; there is nothing left to tell of it then but its number. */
Test(errors, reading_a_value_of_a_freed_graph) {
    wf_program *program;
    float data[6];
    wf_graph *own = wf_graph_new();
    const wf_tensor a = wf_input(own, "a", WF_F32, WF_SHAPE(6)), b = wf_relu(a), c = wf_neg(b);
    cr_assert_eq(wf_compile(&program, own, &c, 1, (wf_compile_opt){0}), WF_OK);
    wf_graph_free(own);
    cr_assert_eq(wf_read(program, b, data, sizeof data), WF_ARGUMENT);
    error_is("wf_read: %2 is no input, output or leaf of the program; list it among the outputs of "
             "wf_compile");
    wf_program_free(program);
}

Test(errors, an_input_of_the_same_name) {
    says(input("x", WF_F32, WF_SHAPE(4)),
         "net: input \"x\" exists already; names of inputs are unique, give it another one");
}
