// `tenon_kernels [name]`: contractions as the compiler makes them, on one thread, as shares of the peak measured in the
// same run, for both widths of vectors, beside oneDNN (which takes the widest, in layouts of its own choice).
#include "kernels.h"

#include <immintrin.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <map>
#include <memory>

#include "backend/cpu/cpu.h"
#include "compile/group.h"
#include "compile/pipeline.h"
#include "op/emit.h"
#include "runtime/plan.h"

namespace tn::bench {

static double thread_ms() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) * 1e-6;
}

double best(const std::function<void()>& run) {
  double least = 1e30, total = 0;
  for (int n = 0; n < 3 || total < 400; ++n) {
    double start = thread_ms();
    run();
    double ms = thread_ms() - start;
    least = std::min(least, ms);
    total += ms;
  }
  return least;
}

namespace {

volatile float sink;
constexpr long kSteps = 2'000'000;

__attribute__((target("avx512f"))) void chains_512() {
  __m512 x = _mm512_set1_ps(0.999f), a[12];
  for (int i = 0; i < 12; ++i) a[i] = _mm512_set1_ps(static_cast<float>(i));
  for (long n = 0; n < kSteps; ++n)
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) a[i] = _mm512_fmadd_ps(a[i], x, x);
  for (int i = 1; i < 12; ++i) a[0] = _mm512_add_ps(a[0], a[i]);
  float first[16];
  _mm512_storeu_ps(first, a[0]);
  sink = first[0];
}

__attribute__((target("avx2,fma"))) void chains_256() {
  __m256 x = _mm256_set1_ps(0.999f), a[12];
  for (int i = 0; i < 12; ++i) a[i] = _mm256_set1_ps(static_cast<float>(i));
  for (long n = 0; n < kSteps; ++n)
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) a[i] = _mm256_fmadd_ps(a[i], x, x);
  for (int i = 1; i < 12; ++i) a[0] = _mm256_add_ps(a[0], a[i]);
  sink = _mm256_cvtss_f32(a[0]);
}

/// GFLOP/s of chains that stay in registers.
double peak(cpu::Isa isa) {
  bool wide = isa == cpu::Isa::avx512;
  return kSteps * 12 * (wide ? 32 : 16) / best(wide ? chains_512 : chains_256) / 1e6;
}

struct Row {
  std::string name;
  GraphPtr graph;
  double flops;
  std::function<double()> dnnl;
};

Value input(Builder& b, std::initializer_list<long> shape) {
  Shape s;
  for (long d : shape) s.push_back(Dim(static_cast<i64>(d)));
  return b.input(Type::tensor(DType::f32, s));
}

Row matmul(long size) {
  Builder b;
  Value x = input(b, {size, size}), y = input(b, {size, size});
  double n = static_cast<double>(size);
  return {"matmul_" + std::to_string(size), b.build(std::vector{dot(x, y, {}, {}, {1}, {0})}), 2 * n * n * n,
          [size] { return dnnl_matmul(size, size, size); }};
}

Row batched(long count, long m, long n, long k) {
  Builder b;
  Value x = input(b, {count, m, k}), y = input(b, {count, k, n});
  return {"bmm", b.build(std::vector{dot(x, y, {0}, {0}, {2}, {1})}),
          2.0 * static_cast<double>(count * m * n) * static_cast<double>(k), [] { return 0.0; }};
}

/// x [m, k] with y [n, k] (as a dense layer has it) or, for the gradient of weights, x [k, m] with y [k, n].
Row dense(const std::string& name, long m, long n, long k, bool weights_gradient) {
  Builder b;
  Value x = weights_gradient ? input(b, {k, m}) : input(b, {m, k});
  Value y = weights_gradient ? input(b, {k, n}) : input(b, {n, k});
  i64 axis = weights_gradient ? 0 : 1;
  return {name, b.build(std::vector{dot(x, y, {}, {}, {axis}, {axis})}),
          2.0 * static_cast<double>(m * n) * static_cast<double>(k), [=] { return dnnl_matmul(m, n, k); }};
}

Row attention(const std::string& name, long heads, long length, long width, bool causal) {
  Builder b;
  Value q = input(b, {heads, length, width}), k = input(b, {heads, length, width}),
        v = input(b, {heads, length, width});
  Value y = b.emit1(op("attention"), {q, k, v}, {{"causal", causal}});
  double pairs = static_cast<double>(heads) * static_cast<double>(length * length) * (causal ? 0.5 : 1);
  return {name, b.build(std::vector{y}), 4 * pairs * static_cast<double>(width), [] { return 0.0; }};
}

/// Rows that move memory: their figure is 10^9 bytes a second, and has no share of a peak.
Row moving(const std::string& name, Builder& b, Value result, double megabytes) {
  return {name, b.build(std::vector{result}), megabytes * 1e6, [] { return 0.0; }};
}

Row column_sums() {
  Builder b;
  Value x = input(b, {4096, 4096});
  return moving("sum0", b, sum(x, std::vector<i64>{0}), 67.1);
}

Row transposed() {
  Builder b;
  Value x = input(b, {2048, 2048});
  return moving("transpose", b, permute(x, {1, 0}), 33.6);
}

Row gathered() {
  Builder b;
  Value x = input(b, {1000000, 64}), places = b.input(Type::tensor(DType::i64, {Dim(1000000)}));
  return moving("gather", b, gather(x, places, 0), 520);
}

/// The convolution and its gradients as the transforms make them.
Row conv(const std::string& name, const ConvShape& s, ConvPass pass) {
  Builder b;
  Value x = input(b, {s.pictures, s.channels, s.height, s.width});
  Value w = input(b, {s.features, s.channels, 3, 3});
  std::vector<i64> one{1, 1};
  Attrs attrs{{"strides", one},      {"padding_low", one},  {"padding_high", one},
              {"lhs_dilation", one}, {"rhs_dilation", one}, {"groups", i64{1}}};
  const OpDef& conv_op = op("conv");
  Value y = b.emit1(conv_op, {x, w}, attrs), out = y;
  if (pass != ConvPass::forward) {
    Builder other;
    Value in = input(other, {s.pictures, s.channels, s.height, s.width});
    Value weights = input(other, {s.features, s.channels, 3, 3});
    Value ct = input(other, {s.pictures, s.features, s.height, s.width});
    std::vector<Type> types{in.type(), weights.type()};
    int which = pass == ConvPass::input_gradient ? 0 : 1;
    Values operands{in, weights};
    Value gradient = conv_op.grad.as<Bilinear>()->transpose(operands, ct, which, attrs, types);
    GraphPtr g = other.build(std::vector{gradient});
    return {name, g, 18.0 * static_cast<double>(s.pictures * s.channels * s.features * s.height * s.width),
            [s, pass] { return dnnl_conv(s, pass); }};
  }
  return {name, b.build(std::vector{out}),
          18.0 * static_cast<double>(s.pictures * s.channels * s.features * s.height * s.width),
          [s, pass] { return dnnl_conv(s, pass); }};
}

/// A graph's kernels with memory for everything they touch; all but the last instruction are movement.
class Runner {
 public:
  Runner(const GraphPtr& g, cpu::Isa isa) {
    Target target{.map_lanes = 16, .compiled = true, .vector_bits = cpu::vector_bits(isa)};
    compilation_ = compile_graph(g, target);
    for (const Step& step : compilation_.steps) {
      if (step.kind != tn::Step::Kind::kernel) continue;
      codes_.push_back(cpu::compile_kernel(step.lowered.kernel, isa));
    }
  }

  void run() {
    size_t k = 0;
    for (const Step& step : compilation_.steps) {
      if (step.kind == tn::Step::Kind::alias) memory_[step_result(step)] = memory_of(step_operand(step));
      if (step.kind == tn::Step::Kind::kernel) run_kernel(step, *codes_[k++]);
    }
  }

 private:
  u32 step_result(const Step& s) const { return compilation_.graph->nodes()[s.node].first_result; }
  u32 step_operand(const Step& s) const { return compilation_.graph->operands(compilation_.graph->nodes()[s.node])[0]; }

  static std::shared_ptr<float> memory(i64 elements, DType dtype = DType::f32) {
    auto bytes = (static_cast<size_t>(elements) * 8 + (2 << 20)) & ~size_t{(2 << 20) - 1};
    auto* p = static_cast<float*>(std::aligned_alloc(2 << 20, bytes));
    for (i64 i = 0; i < elements; ++i) p[i] = static_cast<float>(i * 7919 % 1000) * 1e-3f - 0.5f;
    auto* places = reinterpret_cast<i64*>(p);
    for (i64 i = 0; dtype == DType::i64 && i < elements; ++i) places[i] = i * 7'654'321 % elements;
    return {p, std::free};
  }

  std::shared_ptr<float> memory_of(u32 value) {
    auto& m = memory_[value];
    Type t = compilation_.graph->type(value);
    if (!m) m = memory(evaluate(t.size(), {}), t.dtype());
    return m;
  }

  void run_kernel(const Step& step, const cpu::CompiledKernel& code) {
    const Lowered& l = step.lowered;
    std::vector<void*> buffers;
    size_t argument = 0;
    for (size_t i = 0; i < l.kernel.buffers.size(); ++i) {
      if (!l.kernel.buffers[i].is_argument()) continue;
      const auto& a = l.arguments[argument++];
      auto& temp = temps_[{&step, i}];
      if (a.temp && !temp) temp = memory(evaluate(product(l.kernel.buffers[i].shape), {}));
      buffers.push_back(a.temp ? temp.get() : memory_of(a.value).get());
    }
    auto& scratch = temps_[{&step, ~size_t{0}}];
    if (!scratch) scratch = memory(evaluate(l.kernel.scratch_bytes, {}) / 4 + 64);
    i64 phase = 0, error = 0;
    for (loops::Val v : l.kernel.phases())
      code.run(phase++, buffers.data(), nullptr, 0, evaluate(l.kernel.nodes[static_cast<size_t>(v)].extent, {}),
               scratch.get(), &error);
  }

  Compilation compilation_;
  std::vector<std::shared_ptr<const cpu::CompiledKernel>> codes_;
  std::map<u32, std::shared_ptr<float>> memory_;
  std::map<std::pair<const void*, size_t>, std::shared_ptr<float>> temps_;
};

std::vector<Row> all_rows() {
  std::vector<Row> rows{matmul(512), matmul(1024), matmul(2048), batched(64, 128, 128, 64)};
  rows.push_back(dense("dense_128x1024x784", 128, 1024, 784, false));
  rows.push_back(dense("dense_128x1024x1024", 128, 1024, 1024, false));
  rows.push_back(dense("dense_128x128x3136", 128, 128, 3136, false));
  rows.push_back(dense("dense_dw_128x3136x128", 128, 3136, 128, true));
  rows.push_back(dense("dense_dw_1536x384x1024", 1536, 384, 1024, true));
  rows.push_back(dense("dense_dw_1024x784x128", 1024, 784, 128, true));
  rows.push_back(dense("dense_128x10x1024", 128, 10, 1024, false));
  rows.push_back(dense("dense_1x1024x1024", 1, 1024, 1024, false));
  rows.push_back(attention("attention", 12, 1024, 64, false));
  rows.push_back(attention("attention_causal", 12, 1024, 64, true));
  rows.push_back(attention("attention_128x32", 96, 128, 32, false));
  rows.push_back(column_sums());
  rows.push_back(transposed());
  rows.push_back(gathered());
  const std::pair<const char*, ConvShape> kConvs[] = {
      {"conv2", {128, 32, 32, 28, 28}}, {"conv3", {128, 32, 64, 14, 14}}, {"conv4", {128, 64, 64, 14, 14}}};
  for (const auto& [name, shape] : kConvs) {
    rows.push_back(conv(std::string(name) + "_forward", shape, ConvPass::forward));
    rows.push_back(conv(std::string(name) + "_dx", shape, ConvPass::input_gradient));
    rows.push_back(conv(std::string(name) + "_dw", shape, ConvPass::weights_gradient));
  }
  return rows;
}

}  // namespace

int run_kernels(const std::string& only) {
  if (!cpu::compiler_problem().empty()) {
    std::fprintf(stderr, "tenon_kernels: %s\n", cpu::compiler_problem().c_str());
    return 1;
  }
  std::printf("%-22s %-7s %9s %9s %7s %9s %9s %6s\n", "kernel", "isa", "ms", "GFLOP/s", "share", "code ms", "dnnl ms",
              "ratio");
  for (const Row& row : all_rows()) {
    if (!row.name.starts_with(only)) continue;
    double dnnl = row.dnnl();
    for (cpu::Isa isa : {cpu::Isa::avx2, cpu::Isa::avx512}) {
      if (isa > cpu::widest_isa()) continue;
      cpu::reset_counters();
      Runner runner(row.graph, isa);
      double code = cpu::counters().compile_ms;
      double before = peak(isa), ms = best([&] { runner.run(); }), limit = std::max(before, peak(isa));
      std::printf("%-22s %-7s %9.3f %9.1f %7.3f %9.1f %9.3f %6.2f\n", row.name.c_str(),
                  std::string(cpu::name(isa)).c_str(), ms, row.flops / ms / 1e6, row.flops / ms / 1e6 / limit, code,
                  dnnl, dnnl / ms);
      std::fflush(stdout);
    }
  }
  return 0;
}

}  // namespace tn::bench

int main(int argc, char** argv) { return tn::bench::run_kernels(argc > 1 ? argv[1] : ""); }
