// Plan files: what is stored runs without being lowered or compiled again, and nothing else is believed.
#include <sys/stat.h>

#include <atomic>
#include <cstring>
#include <fstream>

#include "backend/cpu/cpu.h"
#include "backend/ref/ref.h"
#include "base/file.h"
#include "base/memory.h"
#include "engine/plan_state.h"
#include "networks.h"
#include "runtime/counters.h"
#include "runtime/plan_text.h"

namespace tn::engine {
namespace {

bool has_code() { return cpu::compiler_problem().empty(); }

std::string bytes_of(const Plan& plan) {
  std::string all;
  for (const std::string& piece : stored_plan(plan.state())) all += piece;
  return all;
}

/// The checksum made good again, so that what is behind it is reached.
void seal(std::string& bytes) {
  u64 sum = checksum(std::string_view(bytes).substr(32));
  std::memcpy(bytes.data() + 24, &sum, 8);
}

/// A plan from bytes at an address that constants may have.
Plan opened(const std::string& bytes, bool recompile = false) {
  StoragePtr copy = Storage::allocate(std::max<size_t>(bytes.size(), 1));
  std::memcpy(copy->data(), bytes.data(), bytes.size());
  return Plan(open_plan({reinterpret_cast<const char*>(copy->data()), bytes.size()}, copy, "test", recompile));
}

/// The file with a section's text changed: `from` is replaced by `to` of the same length.
std::string patched(std::string bytes, const std::string& from, const std::string& to) {
  EXPECT_EQ(from.size(), to.size());
  size_t at = bytes.find(from);
  EXPECT_NE(at, bytes.npos) << from;
  bytes.replace(at, from.size(), to);
  seal(bytes);
  return bytes;
}

// ---------------------------------------------------------------- what is stored

TEST(Plan, ComesBackWithTheSameAnswers) {
  for (const Network& net : {small_network(), controlled_network()}) {
    Plan built = build(net), loaded = opened(bytes_of(built));
    EXPECT_EQ(loaded.note(), has_code() ? "" : loaded.note());
    EXPECT_EQ(built.text(), loaded.text());
    Context a(built), b(loaded);
    for (i64 n : {1, 3, 8}) {
      Tensor x = net.inputs()[0].name == "x" ? reshape(random::normal(random::key(7), {n * 3}), {n, 3}) : pictures(n);
      std::vector<Tensor> want = a.run({x}), got = b.run({x}), plain = net(std::vector{x});
      ASSERT_EQ(want.size(), got.size());
      for (size_t i = 0; i < want.size(); ++i) {
        expect_same(want[i], got[i]);
        expect_same(want[i], plain[i]);
      }
    }
  }
}

TEST(Plan, StoredKernelsRunAndNothingIsMade) {
  if (!has_code()) GTEST_SKIP() << cpu::compiler_problem();
  std::string small = bytes_of(build(small_network())), controlled = bytes_of(build(controlled_network()));
  Tensor image = pictures(4).eval(), x = random::normal(random::key(7), {5, 3}).eval();
  RuntimeCounters& c = runtime_counters();
  u64 plans = c.plans_built, made = c.kernels_made, interpreted = c.interpreted, phases = c.phases,
      stored = c.kernels_stored, reference = ref_run_count();
  cpu::reset_counters();
  Context(opened(small)).run({image});
  Context(opened(controlled)).run({x});
  EXPECT_EQ(c.plans_built, plans);
  EXPECT_EQ(c.kernels_made, made);
  EXPECT_EQ(c.interpreted, interpreted);
  EXPECT_EQ(cpu::counters().compiled + cpu::counters().cache_hits, 0u);
  EXPECT_EQ(ref_run_count(), reference);
  EXPECT_GT(c.kernels_stored, stored);
  EXPECT_GT(c.phases, phases);
}

TEST(Plan, TwoBuildsGiveTheSameBytes) {
  for (auto make : {small_network, controlled_network}) {
    std::string first = bytes_of(build(make(), {}));
    static_cast<void>((Dim::symbol("zebra") + Dim::symbol("ant")) * Dim::symbol("moth"));  // history leaves no trace
    cpu::forget_kernels();
    EXPECT_EQ(first, bytes_of(build(make(), {})));
    EXPECT_EQ(first, bytes_of(opened(first)));
    EXPECT_EQ(first, bytes_of(opened(bytes_of(opened(first)))));
  }
}

TEST(Plan, IsSavedAndMapped) {
  Folder folder;
  Plan built = build(small_network(), {.profiles = {{"batch", 1, 4, 16}}});
  built.save(folder / "a.plan");
  Plan loaded = Plan::load(folder / "a.plan");
  EXPECT_EQ(loaded.profiles().size(), 1u);
  EXPECT_EQ(loaded.profiles()[0].max, 16);
  EXPECT_EQ(loaded.inputs()[0].name, "image");
  EXPECT_EQ(to_string(loaded.outputs()[0].type), "f32[batch, 5]");
  EXPECT_EQ(read_file("test", folder / "a.plan"), bytes_of(loaded));
  size_t files = 0;
  for ([[maybe_unused]] const auto& f : std::filesystem::directory_iterator(folder.path)) ++files;
  EXPECT_EQ(files, 1u);
  std::filesystem::remove(folder / "a.plan");  // the mapping lives on
  expect_same(Context(loaded).run({pictures(2)})[0], Context(built).run({pictures(2)})[0]);
  expect_error([&] { built.save("/nowhere/a.plan"); }, "'/nowhere/a.plan' cannot be created");
  expect_error([&] { Plan::load(folder / "none"); }, "cannot be opened");
  expect_error([&] { Plan::load(folder.path.string()); }, "no regular file");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);  // must not hold it up
  expect_error([&] { Plan::load(folder / "pipe"); }, "no regular file");
  write_file("test", folder / "empty", "");
  expect_error([&] { Plan::load(folder / "empty"); }, "none that can be mapped");
}

TEST(Plan, OfAnotherMachineIsBuiltAgainAndSaysSo) {
  if (!has_code()) GTEST_SKIP() << cpu::compiler_problem();
  std::string bytes = bytes_of(build(small_network())), mine(cpu::name(cpu::host_isa()));
  bool least = mine == "avx2";  // then the plan is one without code
  std::string from = "isa " + mine + "\ninput", other = least ? "isa none\ninput" : "isa avx2\ninput";
  other.insert(4, std::string(from.size() - other.size(), ' '));
  Plan loaded = opened(patched(bytes, from, other));
  std::string said = least ? "built without machine code" : "this machine runs " + mine;
  EXPECT_NE(loaded.note().find(said + ": its kernels were compiled again"), std::string::npos) << loaded.note();
  expect_same(Context(loaded).run({pictures(2)})[0], Context(opened(bytes)).run({pictures(2)})[0]);
}

TEST(Plan, OfAnotherCodeVersionIsBuiltAgain) {
  if (!has_code()) GTEST_SKIP() << cpu::compiler_problem();
  std::string bytes = bytes_of(build(small_network()));
  u64 stored = runtime_counters().kernels_stored;
  Plan loaded = opened(patched(bytes, "code " + std::to_string(kCodeFormat) + "\n", "code 9\n"));
  EXPECT_NE(loaded.note().find("code is of version 9"), std::string::npos) << loaded.note();
  EXPECT_EQ(runtime_counters().kernels_stored, stored);
  Plan again = opened(bytes, true);
  EXPECT_EQ(again.note(), "");
  EXPECT_EQ(runtime_counters().kernels_stored, stored);
  Tensor want = Context(opened(bytes)).run({pictures(2)})[0];
  expect_same(Context(loaded).run({pictures(2)})[0], want);
  expect_same(Context(again).run({pictures(2)})[0], want);
}

// ---------------------------------------------------------------- what is refused

TEST(HostilePlan, FrameIsChecked) {
  std::string bytes = bytes_of(build(small_network()));
  expect_error([&] { opened(""); }, "expected a plan file");
  expect_error([&] { opened("TENONPLN"); }, "expected a plan file");
  expect_error([&] { opened("graph(" + bytes); }, "'test': expected a plan file, got something else");
  std::string other = bytes;
  other[8] = 7;
  expect_error([&] { opened(other); }, "expected format version 3, got 7; build the plan again");
  expect_error([&] { opened(bytes + "x"); }, "truncated or damaged");
  for (size_t size = 0; size < bytes.size(); size += 1 + size / 40)
    EXPECT_THROW(opened(bytes.substr(0, size)), Error) << size;
}

TEST(HostilePlan, AnyFlippedByteIsNoticed) {
  std::string bytes = bytes_of(build(small_network()));
  for (size_t at = 0; at < bytes.size(); at += 1 + at / 400) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << at % 8));
    EXPECT_THROW(opened(damaged), Error) << at;
  }
}

/// Behind a checksum made good: an error or a plan, never a crash, and no more memory than a small budget.
TEST(HostilePlan, DamageBehindTheChecksumIsSafe) {
  std::vector<std::string> files{bytes_of(build(small_network())), bytes_of(build(controlled_network()))};
  set_block_limit(live_block_bytes() + (size_t{8} << 20));
  size_t refused = 0, taken = 0;
  for (const std::string& bytes : files)
    for (size_t at = 8; at < bytes.size(); at += 1 + at / 1500) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << (at * 7) % 8));
      seal(damaged);
      try {
        opened(damaged);
        ++taken;
      } catch (const Error&) { ++refused; }
    }
  set_block_limit(0);
  EXPECT_GT(refused, 500u);
  EXPECT_GT(taken, 500u);  // weights and instructions of machine code may be anything
}

TEST(HostilePlan, LiesAreRefused) {
  if (!has_code()) GTEST_SKIP() << cpu::compiler_problem();
  std::string bytes = bytes_of(build(small_network()));
  auto lie = [&](const std::string& from, const std::string& to, const std::string& text) {
    expect_error([&] { opened(patched(bytes, from, to)); }, text);
  };
  lie("array f32[4, 1, 3, 3]", "array f32[9999999999]", "expected constants within the file");
  lie("input \"image\"", "inputs \"imag\"", "expected a line of a manifest");
  lie("input \"image\"", "            \"", "");
  lie("0 input 0 f32", "0 input 7 f32", "expected a slot for each input and output");
  lie("0 input 0 f32", "0 input 0 f64", "expected a slot for each input and output");
  lie("0 input 0 f32", "4 input 0 f32", "expected slots numbered from 0");
  lie("output 0 f32[batch, 5]", "output 0 f32[batch, 9]", "of its type");
  std::string far = bytes;
  u64 huge = ~u64{63};
  std::memcpy(far.data() + 32 + 8, &huge, 8);
  seal(far);
  expect_error([&] { opened(far); }, "expected sections within the file");
}

/// Every rule that guards memory, broken in the text of a plan.
TEST(HostilePlan, StructureIsVerified) {
  Plan plan = build(controlled_network());
  PlanTables tables;
  std::string text = to_string(*plan.state().plan, tables);
  EXPECT_NO_THROW(parse_plan(text, tables));
  auto broken = [&](const std::string& from, const std::string& to, const std::string& what) {
    std::string changed = text;
    size_t at = changed.find(from);
    ASSERT_NE(at, changed.npos) << from << "\n" << text;
    changed.replace(at, from.size(), to);
    expect_error([&] { parse_plan(changed, tables); }, what);
  };
  broken("=", "=99", "expected the number of a slot");
  broken("cond cond 1 (bool[]", "cond cond 1 (f32[]", "expected operands of their slots' types");
  broken("loop while", "loop scan", "");
  broken("native sort", "native add", "");
  broken("native sort 1", "native sort 8", "expected version 1 of op sort");
  broken("{bound=-1", "{bunde=-1", "expected the op's attributes");
  broken("carry=1", "carry=7", "expected counts within the operands");
  broken("carry=1", "carry=0", "expected an op of this kind");
  broken("spare [", "spare [0, ", "");
  broken("copy 0 ", "copy 99 ", "the number of a slot");
  broken("forward [-1", "forward [7, -1", "expected a word on each output");
  size_t copy = text.rfind("  copy 0 ");
  ASSERT_NE(copy, text.npos);
  std::string into_input = text.substr(0, copy) + "  copy 0 0\n}\n";
  expect_error([&] { parse_plan(into_input, tables); }, "expected only outputs and temps written");
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "plan() -> () forward [] guards [] { cond cond 1 () -> () spare [] {} [";
  expect_error([&] { parse_plan(deep, tables); }, "at most 200 levels");
}

// ---------------------------------------------------------------- options

TEST(Build, ProfilesAreChecked) {
  Network net = small_network();
  expect_error([&] { build(net, {.profiles = {{"length", 1, 2, 3}}}); },
               "expected a profile for a size of the network (batch), got 'length'");
  expect_error([&] { build(net, {.profiles = {{"batch", 4, 2, 3}}}); }, "expected min <= opt <= max for size 'batch'");
  expect_error([&] { build(net, {.profiles = {{"batch", -1, 2, 3}}}); }, "expected min <= opt <= max");
  expect_error([&] { build(net, {.profiles = {{"batch", 1, 2, 3}, {"batch", 1, 2, 3}}}); }, "got two");
  Network odd = trace_network(Controlled{Tensor(3.0, DType::f32)}, {"a", "b", "c", "d", "e"},
                              NamedType{"x", Type::tensor(DType::f32, {Dim::symbol("my rows"), 3})});
  expect_error([&] { build(odd); }, "expected names of sizes of letters, digits and _, got 'my rows'");
  expect_error([&] { build(Network()); }, "expected a network, got an empty one");
}

/// Weights are laid out once, when the plan is built: a run dispatches no phase for it.
TEST(Build, WeightsArePacked) {
  Network net = small_network();
  Plan packed = build(net), unpacked = build(net, {.without = {"pack"}});
  Tensor x = pictures(3).eval();
  Context a(packed), b(unpacked);
  auto phases = [&](Context& c) {
    u64 before = runtime_counters().phases;
    c.run({x});
    return runtime_counters().phases - before;
  };
  expect_same(a.run({x})[0], b.run({x})[0]);
  EXPECT_EQ(phases(a) + 2, phases(b));  // the convolution's and the product's
  expect_same(Context(opened(bytes_of(packed))).run({x})[0], b.run({x})[0]);
}

TEST(Build, PassesAreNamedAndSwitched) {
  Network net = small_network();
  auto phases = [](const Plan& p) { return p.state().plan->phase_count(); };
  Plan all = build(net), apart = build(net, {.without = {"fuse"}}), unfolded = build(net, {.without = {"fold"}});
  EXPECT_LT(phases(all), phases(apart));
  EXPECT_NE(all.text(), unfolded.text());
  Tensor want = Context(all).run({pictures(2)})[0];
  expect_same(Context(apart).run({pictures(2)})[0], want);
  expect_same(Context(unfolded).run({pictures(2)})[0], want);
  EXPECT_EQ(phases(opened(bytes_of(apart), true)), phases(apart));  // the file remembers
  expect_error([&] { build(net, {.without = {"fusing"}}); }, "pack), got 'fusing'");
  expect_error([&] { build(net, {.without = {"expand"}}); }, "got 'expand'");
}

}  // namespace
}  // namespace tn::engine
