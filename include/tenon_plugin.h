/* The plugin interface of Tenon: plain C, versioned, no other header of ours.
 *
 * A plugin is a shared library with one entry point, `tenon_plugin_entry`, that returns a table of ops. An op says its
 * operands, its fields (attributes, written into ONNX files and plans), how result types follow from operand types (in
 * symbolic sizes, so a plan works for every batch) and how to compute. It may name another op of the plugin as its
 * gradient: then it trains too.
 *
 *   cc -shared -fPIC -I$PREFIX/include my_plugin.c -o my_plugin.so
 *   tenon run model.onnx --plugin ./my_plugin.so --inputs in --outputs out
 *
 * Rules: functions are called from several threads at once and must not keep state between calls; tensors are dense,
 * row-major, aligned to 64 bytes; result memory is allocated by Tenon; a function returns 0 on success, or calls
 * host->fail and returns any other number. Strings and tables the plugin returns live as long as the library.
 */
#ifndef TENON_PLUGIN_H
#define TENON_PLUGIN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised when a plugin built for an older header can no longer be used. */
#define TENON_PLUGIN_VERSION 1u

typedef enum tenon_dtype {
  TENON_F64 = 0,
  TENON_F32 = 1,
  TENON_F16 = 2,
  TENON_BF16 = 3,
  TENON_I64 = 4,
  TENON_I32 = 5,
  TENON_I8 = 6,
  TENON_U32 = 7,
  TENON_U8 = 8,
  TENON_BOOL = 9
} tenon_dtype;

/* A bit for each dtype an op accepts: TENON_ACCEPTS(TENON_F32) | TENON_ACCEPTS(TENON_F64). */
#define TENON_ACCEPTS(dtype) (1u << (dtype))

/* A size: a number or an expression of the model's named sizes. Valid during the call that got it. */
typedef struct tenon_dim_opaque* tenon_dim;

/* What one call of infer or run is about. */
typedef struct tenon_call tenon_call;

typedef struct tenon_tensor {
  void* data;
  tenon_dtype dtype;
  int32_t rank;
  const int64_t* shape;
} tenon_tensor;

/* What Tenon offers during a call. */
typedef struct tenon_host {
  uint32_t version;

  /* Fields of the node; the default where the model gives none. */
  int64_t (*integer_field)(const tenon_call* call, const char* name);
  double (*float_field)(const tenon_call* call, const char* name);
  const char* (*string_field)(const tenon_call* call, const char* name);
  /* Returns the length, and the elements through `values` (null for length 0). */
  int64_t (*integers_field)(const tenon_call* call, const char* name, const int64_t** values);
  int64_t (*floats_field)(const tenon_call* call, const char* name, const double** values);

  /* infer only: operand types, arithmetic of sizes, result types. */
  tenon_dtype (*operand_dtype)(const tenon_call* call, int32_t operand);
  int32_t (*operand_rank)(const tenon_call* call, int32_t operand);
  tenon_dim (*operand_dim)(const tenon_call* call, int32_t operand, int32_t axis);
  tenon_dim (*dim)(int64_t value);
  tenon_dim (*dim_add)(tenon_dim a, tenon_dim b);
  tenon_dim (*dim_sub)(tenon_dim a, tenon_dim b);
  tenon_dim (*dim_mul)(tenon_dim a, tenon_dim b);
  tenon_dim (*dim_floordiv)(tenon_dim a, tenon_dim b);
  tenon_dim (*dim_min)(tenon_dim a, tenon_dim b);
  tenon_dim (*dim_max)(tenon_dim a, tenon_dim b);
  int32_t (*dim_equal)(tenon_dim a, tenon_dim b);
  void (*set_result)(tenon_call* call, int32_t result, tenon_dtype dtype, int32_t rank, const tenon_dim* shape);

  /* Says why the call fails; "expected X, got Y; fix" reads best. The text is copied. Returns 1, for `return fail(..)`.
   */
  int (*fail)(tenon_call* call, const char* message);
} tenon_host;

typedef enum tenon_field_kind {
  TENON_FIELD_INTEGER = 0,
  TENON_FIELD_FLOAT = 1,
  TENON_FIELD_STRING = 2,
  TENON_FIELD_INTEGERS = 3,
  TENON_FIELD_FLOATS = 4
} tenon_field_kind;

typedef struct tenon_field {
  const char* name;
  tenon_field_kind kind;
  int32_t required;   /* when 0 the default below is used */
  int64_t integer;    /* default of TENON_FIELD_INTEGER */
  double floating;    /* default of TENON_FIELD_FLOAT */
  const char* string; /* default of TENON_FIELD_STRING, may be null; lists default to empty */
} tenon_field;

typedef struct tenon_op {
  const char* name; /* letters, digits and _; unique in the process */
  const char* doc;  /* one line */
  int32_t operands; /* how many, at most 16 */
  int32_t results;  /* how many, 1 to 16 */
  uint32_t dtypes;  /* bits of TENON_ACCEPTS for operands */
  const tenon_field* fields;
  int32_t field_count;
  /* Sets every result's type; null: one result like operand 0. */
  int (*infer)(const tenon_host* host, tenon_call* call);
  /* Computes results from operands. */
  int (*run)(const tenon_host* host, tenon_call* call, const tenon_tensor* operands, const tenon_tensor* results);
  /* Name of the op of this plugin that takes (operands..., results..., a cotangent for each result) and gives a
   * cotangent for each operand, with the same fields; null: no gradient. The cotangent of an integer result is 0. */
  const char* gradient;
} tenon_op;

typedef struct tenon_plugin {
  uint32_t version; /* TENON_PLUGIN_VERSION of the header it was built with */
  const char* name;
  const tenon_op* ops;
  int32_t op_count;
} tenon_plugin;

/* The entry point: Tenon passes its own TENON_PLUGIN_VERSION; null refuses it. */
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const tenon_plugin*
tenon_plugin_entry(uint32_t host_version);

#ifdef __cplusplus
}
#endif

#endif /* TENON_PLUGIN_H */
