// A million nodes through every traversal on a stack of 256 KiB: nothing may recurse over nodes.
#include <pthread.h>

#include <functional>

#include "compile/passes.h"
#include "compile/pipeline.h"
#include "op/emit.h"
#include "support.h"
#include "transform/effects.h"
#include "transform/lanes.h"

namespace tn::testing {

namespace {

constexpr int kNodes = 1'000'000;

/// Runs f on a thread with a small stack; rethrows what it throws.
void on_small_stack(const std::function<void()>& f) {
  struct Job {
    const std::function<void()>* f;
    std::exception_ptr error;
  } job{&f, nullptr};
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, 256 * 1024), 0);
  pthread_t thread;
  auto run = [](void* p) -> void* {
    auto* j = static_cast<Job*>(p);
    try {
      (*j->f)();
    } catch (...) { j->error = std::current_exception(); }
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attributes, run, &job), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  if (job.error) std::rethrow_exception(job.error);
}

GraphPtr chain(int nodes) {
  std::vector<Type> types{Type::tensor(DType::f32, {}), Type::tensor(DType::f32, {})};
  return make_graph(types, [&](Builder&, ValueSpan x) {
    Value y = x[0];
    for (int i = 0; i < nodes / 2; ++i) y = mul(sin(y), x[1]);
    return Values{y};
  });
}

TEST(Deep, EveryTraversal) {
  on_small_stack([] {
    GraphPtr g = chain(kNodes);
    ASSERT_EQ(g->nodes().size(), static_cast<size_t>(kNodes));
    Mask all{true, true};
    GraphPtr v = vjp_graph(g, all);
    EXPECT_GT(v->nodes().size(), g->nodes().size() * 2);
    verify(*v);
    EXPECT_EQ(vmap_graph(g, {true, false}, Dim::symbol("B")).graph->nodes().size(), g->nodes().size() + 1);
    EXPECT_EQ(guard_graph(g)->nodes().size(), g->nodes().size());
    EXPECT_EQ(without_effects(g).graph, g);
    EXPECT_EQ(lower_lanes(g), g);
    EXPECT_EQ(parse_graph(to_string(*g)), g);
  });
}

/// Through every pass: a long chain, and one with a value that every kernel reads.
TEST(Deep, EveryPass) {
  on_small_stack([] {
    GraphPtr g = chain(kNodes / 5);
    EXPECT_EQ(simplify(g), g);
    Compilation made = compile_graph(g, {});
    EXPECT_GT(made.steps.size(), 1000u);
    GraphPtr wide = make_graph(std::vector{Type::tensor(DType::f32, {3})}, [](Builder&, ValueSpan x) {
      Value y = x[0];
      for (int i = 0; i < kNodes / 100; ++i) y = add(mul(y, x[0]), broadcast_to(sum(y, {0}), {3}));
      return Values{y};
    });
    EXPECT_GT(compile_graph(wide, {}).steps.size(), 100u);
  });
}

/// The same chain as the body of a call, and of a checkpoint.
TEST(Deep, InsideCalls) {
  on_small_stack([] {
    GraphPtr body = chain(kNodes / 10);
    for (bool remat : {false, true}) {
      GraphPtr g = make_graph(body->input_types(), [&](Builder& b, ValueSpan x) {
        return b.emit(op("call"), x, {{"body", body}, {"remat", remat}});
      });
      verify(*vjp_graph(g, {true, true}));
    }
  });
}

}  // namespace

}  // namespace tn::testing
