#include "kernels.h"

#ifdef TENON_DNNL
#include <dnnl.hpp>
#endif

namespace tn::bench {

#ifdef TENON_DNNL

namespace {

using Tag = dnnl::memory::format_tag;
using Type = dnnl::memory::data_type;
using Dims = dnnl::memory::dims;

double time(dnnl::primitive& primitive, const std::unordered_map<int, dnnl::memory>& arguments,
            const dnnl::engine& engine) {
  dnnl::stream stream(engine);
  return best([&] {
    primitive.execute(stream, arguments);
    stream.wait();
  });
}

dnnl::memory filled(const dnnl::memory::desc& d, const dnnl::engine& engine) {
  dnnl::memory m(d, engine);
  auto* p = static_cast<float*>(m.get_data_handle());
  for (size_t i = 0; i < d.get_size() / 4; ++i) p[i] = static_cast<float>(i % 17) * 0.1f - 0.8f;
  return m;
}

}  // namespace

double dnnl_matmul(long m, long n, long k) {
  dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  auto d = [](long r, long c) { return dnnl::memory::desc({r, c}, Type::f32, Tag::ab); };
  dnnl::matmul::desc what(d(m, k), d(k, n), d(m, n));
  dnnl::matmul::primitive_desc p(what, engine);
  dnnl::matmul primitive(p);
  return time(primitive,
              {{DNNL_ARG_SRC, filled(p.src_desc(), engine)},
               {DNNL_ARG_WEIGHTS, filled(p.weights_desc(), engine)},
               {DNNL_ARG_DST, filled(p.dst_desc(), engine)}},
              engine);
}

double dnnl_conv(const ConvShape& s, ConvPass pass) {
  dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  auto any = [](Dims d) { return dnnl::memory::desc(d, Type::f32, Tag::any); };
  auto x = any({s.pictures, s.channels, s.height, s.width}), w = any({s.features, s.channels, 3, 3});
  auto y = any({s.pictures, s.features, s.height, s.width});
  Dims one{1, 1};
  dnnl::convolution_forward::desc forward(dnnl::prop_kind::forward_training, dnnl::algorithm::convolution_direct, x, w,
                                          y, one, one, one);
  dnnl::convolution_forward::primitive_desc p(forward, engine);
  if (pass == ConvPass::forward) {
    dnnl::convolution_forward primitive(p);
    return time(primitive,
                {{DNNL_ARG_SRC, filled(p.src_desc(), engine)},
                 {DNNL_ARG_WEIGHTS, filled(p.weights_desc(), engine)},
                 {DNNL_ARG_DST, filled(p.dst_desc(), engine)}},
                engine);
  }
  if (pass == ConvPass::input_gradient) {
    dnnl::convolution_backward_data::desc back(dnnl::algorithm::convolution_direct, x, w, y, one, one, one);
    dnnl::convolution_backward_data::primitive_desc q(back, engine, p);
    dnnl::convolution_backward_data primitive(q);
    return time(primitive,
                {{DNNL_ARG_DIFF_SRC, filled(q.diff_src_desc(), engine)},
                 {DNNL_ARG_WEIGHTS, filled(q.weights_desc(), engine)},
                 {DNNL_ARG_DIFF_DST, filled(q.diff_dst_desc(), engine)}},
                engine);
  }
  dnnl::convolution_backward_weights::desc back(dnnl::algorithm::convolution_direct, x, w, y, one, one, one);
  dnnl::convolution_backward_weights::primitive_desc q(back, engine, p);
  dnnl::convolution_backward_weights primitive(q);
  return time(primitive,
              {{DNNL_ARG_SRC, filled(q.src_desc(), engine)},
               {DNNL_ARG_DIFF_WEIGHTS, filled(q.diff_weights_desc(), engine)},
               {DNNL_ARG_DIFF_DST, filled(q.diff_dst_desc(), engine)}},
              engine);
}

#else

double dnnl_matmul(long, long, long) { return 0; }
double dnnl_conv(const ConvShape&, ConvPass) { return 0; }

#endif

}  // namespace tn::bench
