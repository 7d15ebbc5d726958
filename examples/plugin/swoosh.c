/* An activation of one's own: swoosh(x) = x * sigmoid(beta * x), with its gradient, so that it trains.
 *
 *   cc -O2 -shared -fPIC -I include examples/plugin/swoosh.c -o swoosh.so -lm
 */
#include <math.h>

#include "tenon_plugin.h"

static int64_t size_of(const tenon_tensor* t) {
  int64_t n = 1;
  for (int32_t i = 0; i < t->rank; ++i) n *= t->shape[i];
  return n;
}

static int swoosh(const tenon_host* host, tenon_call* call, const tenon_tensor* in, const tenon_tensor* out) {
  const float beta = (float)host->float_field(call, "beta");
  const float* x = in[0].data;
  float* y = out[0].data;
  for (int64_t i = 0, n = size_of(&in[0]); i < n; ++i) y[i] = x[i] / (1.0f + expf(-beta * x[i]));
  return 0;
}

/* Operands: x, y, the cotangent of y. Result: the cotangent of x. */
static int swoosh_gradient(const tenon_host* host, tenon_call* call, const tenon_tensor* in, const tenon_tensor* out) {
  const float beta = (float)host->float_field(call, "beta");
  const float *x = in[0].data, *y = in[1].data, *dy = in[2].data;
  float* dx = out[0].data;
  for (int64_t i = 0, n = size_of(&in[0]); i < n; ++i) {
    const float s = 1.0f / (1.0f + expf(-beta * x[i]));
    dx[i] = dy[i] * (s + beta * y[i] * (1.0f - s));
  }
  return 0;
}

static const tenon_field kFields[] = {{"beta", TENON_FIELD_FLOAT, 0, 0, 1.0, 0}};

static const tenon_op kOps[] = {
    {"swoosh", "x * sigmoid(beta * x), elementwise", 1, 1, TENON_ACCEPTS(TENON_F32), kFields, 1, 0, swoosh,
     "swoosh_gradient"},
    {"swoosh_gradient", "cotangent of swoosh's operand", 3, 1, TENON_ACCEPTS(TENON_F32), kFields, 1, 0, swoosh_gradient,
     0},
};

static const tenon_plugin kPlugin = {TENON_PLUGIN_VERSION, "swoosh", kOps, 2};

const tenon_plugin* tenon_plugin_entry(uint32_t host_version) {
  return host_version == TENON_PLUGIN_VERSION ? &kPlugin : 0;
}
