// Running a program: the steps that steer, and one frame a thread.
#include <atomic>
#include <cstdlib>
#include <new>

#include "backend/interpreter/code.h"
#include "base/thread_own.h"
#include "tenon/error.h"

namespace tn::loops {

namespace interpreter {

static void update(const Frame& f, i32 first, i32 last) {
  i64* d = f.dims;
  for (const Update* u = f.updates + first; u != f.updates + last; ++u) switch (u->kind) {
      case Update::Kind::polynomial: {
        // Sizes are checked before a run; what wraps here belongs to a place never read.
        u64 v = static_cast<u64>(d[u->a]);
        for (const Term* t = f.terms + u->first_term; t != f.terms + u->last_term; ++t)
          v += static_cast<u64>(t->coefficient) * static_cast<u64>(d[t->first]) * static_cast<u64>(d[t->second]);
        d[u->target] = static_cast<i64>(v);
        break;
      }
      case Update::Kind::floordiv: {
        i64 a = d[u->a], b = d[u->b];
        i64 q = b == 0 ? 0 : b == -1 ? static_cast<i64>(-static_cast<u64>(a)) : a / b;
        if (b != 0 && b != -1 && a % b != 0 && (a < 0) != (b < 0)) --q;
        d[u->target] = q;
        break;
      }
      case Update::Kind::min: d[u->target] = d[u->a] < d[u->b] ? d[u->a] : d[u->b]; break;
      case Update::Kind::max: d[u->target] = d[u->a] > d[u->b] ? d[u->a] : d[u->b]; break;
    }
}

static void copy_tiles(const Frame& f, const Step* s) {
  for (const Copy* c = f.copies + s->first_copy; c != f.copies + s->last_copy; ++c)
    __builtin_memcpy(f.tiles + c->to, f.tiles + c->from, static_cast<size_t>(c->bytes));
}

/// Copies bring the initial values; a parallel loop of another phase is passed over.
const Step* enter_loop(Frame& f, const Step* s) {
  if (s->flag && s->guard != f.phase) return s + s->jump;
  copy_tiles(f, s);
  i64 low = s->flag ? f.lo : 0, high = s->flag ? f.hi : f.dims[s->extent];
  if (low >= high) return s + s->jump;
  f.dims[s->variable] = low;
  update(f, s->first_update, s->last_update);
  return s + 1;
}

/// Copies bring the yielded values; after a parallel loop its phase is over.
const Step* next_iteration(Frame& f, const Step* s) {
  copy_tiles(f, s);
  i64 high = s->flag ? f.hi : f.dims[s->extent];
  if (++f.dims[s->variable] < high) {
    update(f, s->first_update, s->last_update);
    return s + s->jump;
  }
  return s->flag ? nullptr : s + 1;
}

template <class T>
static const Step* take_index(Frame& f, const Step* s) {
  i64 v = static_cast<i64>(*reinterpret_cast<const T*>(f.tiles + s->a)), last = f.dims[s->extent] - 1;
  v = v > last ? last : v;
  f.dims[s->variable] = v < 0 ? 0 : v;
  update(f, s->first_update, s->last_update);
  return s + 1;
}
const Step* take_index_i64(Frame& f, const Step* s) { return take_index<i64>(f, s); }
const Step* take_index_i32(Frame& f, const Step* s) { return take_index<i32>(f, s); }
const Step* take_index_u32(Frame& f, const Step* s) { return take_index<u32>(f, s); }
const Step* take_index_i8(Frame& f, const Step* s) { return take_index<signed char>(f, s); }
const Step* take_index_u8(Frame& f, const Step* s) { return take_index<u8>(f, s); }

const Step* check_all(Frame& f, const Step* s) {
  const char* ok = f.tiles + s->a;
  bool all = true;
  for (i32 i = 0; i < s->lanes; ++i) all &= ok[i] != 0;
  if (!all && f.error && *f.error == 0) *f.error = s->guard;
  return s + 1;
}

const Step* prefetch(Frame& f, const Step* s) {
  const char* base = static_cast<const char*>(s->buffer < 0 ? f.scratch : f.buffers[s->buffer]);
  __builtin_prefetch(base + f.dims[s->base] * s->lanes);
  return s + 1;
}

const Step* finish(Frame&, const Step*) { return nullptr; }

namespace {

/// Tiles and Dim slots of one program on one thread; constants are in place.
struct ThreadFrame {
  u64 program = 0;
  char* tiles = nullptr;
  std::vector<i64> dims;

  ThreadFrame() = default;
  ThreadFrame(const ThreadFrame&) = delete;
  ThreadFrame& operator=(const ThreadFrame&) = delete;
  ~ThreadFrame() { std::free(tiles); }
};

/// Most recent programs of the thread, by id; a chain of small kernels alternates between few.
ThreadFrame& frame_of(u64 id) {
  static constexpr size_t kFrames = 64;
  struct Frames {
    ThreadFrame list[kFrames];
  };
  return thread_own<Frames>().list[id % kFrames];
}

[[gnu::noinline]] void prepare(ThreadFrame& t, const Code& p) {
  std::free(t.tiles);
  t.program = 0;
  t.tiles = static_cast<char*>(std::aligned_alloc(64, (p.frame_bytes + 127) / 64 * 64));
  if (!t.tiles) throw std::bad_alloc();
  t.dims.assign(static_cast<size_t>(p.dim_slots), 0);
  for (auto [slot, value] : p.fixed_dims) t.dims[static_cast<size_t>(slot)] = value;
  for (const auto& c : p.constants)
    for (i32 i = 0; i < c.count; ++i)
      __builtin_memcpy(t.tiles + c.offset + i * c.bytes, &c.bits, static_cast<size_t>(c.bytes));
  t.program = p.id;
}

}  // namespace

}  // namespace interpreter

Tier best_tier() {
  static const Tier best = __builtin_cpu_supports("x86-64-v4")   ? Tier::v4
                           : __builtin_cpu_supports("x86-64-v3") ? Tier::v3
                                                                 : Tier::baseline;
  return best;
}

Program::Program(const Kernel& kernel, Tier tier) {
  static std::atomic<u64> next{0};
  const auto& kernels = tier == Tier::v4   ? interpreter::kernels_v4()
                        : tier == Tier::v3 ? interpreter::kernels_v3()
                                           : interpreter::kernels_baseline();
  auto code = std::make_unique<interpreter::Code>(interpreter::build(kernel, kernels));
  code->id = ++next;
  code_ = std::move(code);
}

Program::~Program() = default;
Program::Program(Program&&) noexcept = default;
Program& Program::operator=(Program&&) noexcept = default;

size_t Program::steps() const { return code_->steps.size(); }

void Program::run(i64 phase, void* const* buffers, const i64* sizes, i64 lo, i64 hi, void* scratch, i64* error) const {
  const interpreter::Code& p = *code_;
  interpreter::ThreadFrame& t = interpreter::frame_of(p.id);
  if (t.program != p.id) interpreter::prepare(t, p);
  interpreter::Frame f{.tiles = t.tiles,
                       .dims = t.dims.data(),
                       .buffers = buffers,
                       .scratch = static_cast<char*>(scratch),
                       .phase = phase,
                       .lo = lo,
                       .hi = hi,
                       .error = error,
                       .updates = p.updates.data(),
                       .terms = p.terms.data(),
                       .copies = p.copies.data()};
  for (size_t i = 0; i < p.size_slots.size(); ++i) f.dims[p.size_slots[i]] = sizes[i];
  interpreter::update(f, p.first_entry_update, p.last_entry_update);
  for (const interpreter::Step* s = p.steps.data(); s;) s = s->fn(f, s);
}

}  // namespace tn::loops
