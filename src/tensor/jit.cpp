// Jitted calls. Outside of traces a call runs at once, as one plan of its own: what stands around it never changes what
// is compiled, and a step of training never merges with the next one.
#include "tenon/jit.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "runtime/execute.h"
#include "tensor/evaluate.h"
#include "tensor/record.h"
#include "tensor/trace.h"

namespace tn::detail {

struct JitCache::State {
  std::mutex mutex;
  std::unordered_map<std::string, std::shared_ptr<const JitEntry>> entries;
  u64 traces = 0;
};

namespace {

constexpr size_t kMostEntries = 1024;

bool same_numbers(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && (a.empty() || !std::memcmp(a.data(), b.data(), a.size() * sizeof(double)));
}

std::vector<Tensor> given_tensors(const JitEntry& entry, LeafSpan arguments) {
  std::vector<Tensor> in;
  for (u32 i : entry.inputs) in.push_back(*arguments[i]);
  in.insert(in.end(), entry.constants.begin(), entry.constants.end());
  return in;
}

void place(const JitEntry& entry, LeafSpan arguments, LeafSpan results, std::span<const Tensor> out) {
  size_t k = 0;
  for (size_t i = 0; i < results.size(); ++i)
    if (entry.results[i]) *results[i] = out[k++];
  for (size_t i = 0; i < entry.state.size(); ++i)
    *arguments[entry.state[i]] = entry.state_defined[i] ? out[k++] : Tensor();
}

/// The arguments of one call that runs now. State is taken out of the caller's variables while it runs, so that storage
/// nobody else holds can be reused; it is put back when the run fails.
class Launch {
 public:
  Launch(const JitEntry& entry, LeafSpan arguments) : entry_(entry), arguments_(arguments) {
    evaluate_inputs();
    for (const Tensor& t : tensors_) arrays_.push_back(value_of(t.node(), entry.where));
    donated_.assign(arrays_.size(), false);
    taken_.reserve(entry.state.size());
    take_state();
  }
  ~Launch() {
    if (!done_) restore();
  }
  Launch(const Launch&) = delete;
  Launch& operator=(const Launch&) = delete;

  std::vector<Tensor> run() {
    std::vector<Array> out = execute(entry_.graph, arrays_, donated_);
    std::vector<Tensor> made;
    for (Array& a : out) made.push_back(handle(new_value(std::move(a), entry_.where)));
    done_ = true;
    return made;
  }

 private:
  void evaluate_inputs() {
    tensors_ = given_tensors(entry_, arguments_);
    std::vector<Pending*> nodes;
    for (const Tensor& t : tensors_) nodes.push_back(t.node());
    evaluate(nodes, entry_.where);
  }

  /// Takes the state and marks what is donated: an input that is state and only we hold, our list and the taken handle.
  /// Nothing here throws: the destructor gives the state back only to a call that was built.
  void take_state() noexcept {
    for (u32 i : entry_.state) taken_.push_back(std::move(*arguments_[i]));
    for (size_t k = 0; k < entry_.inputs.size(); ++k) {
      bool state = std::find(entry_.state.begin(), entry_.state.end(), entry_.inputs[k]) != entry_.state.end();
      Pending* p = tensors_[k].node();
      if (!state || p->references.load(std::memory_order_acquire) != 2 || !stored_value(p) || p->is(kLiteral)) continue;
      if (p->value->storage.use_count() != 2 || !p->value->storage->owned()) continue;  // the node's and arrays_'s
      p->value->storage.reset();
      donated_[k] = true;
    }
  }

  void restore() {
    for (size_t i = 0; i < entry_.state.size(); ++i) *arguments_[entry_.state[i]] = std::move(taken_[i]);
    for (size_t k = 0; k < entry_.inputs.size(); ++k) {
      if (!donated_[k]) continue;
      Pending* lost = new_node(tensors_[k].node()->type, entry_.where);
      lost->error = new std::string("[jit] expected a value, got one whose storage was reused by a call that failed (" +
                                    to_string(entry_.where) + "); keep a copy of the handle to keep the value");
      lost->state.store(State::failed, std::memory_order_release);
      *arguments_[entry_.inputs[k]] = handle(lost);
    }
  }

  const JitEntry& entry_;
  LeafSpan arguments_;
  std::vector<Tensor> tensors_, taken_;
  std::vector<Array> arrays_;
  Mask donated_;
  bool done_ = false;
};

bool runs_now(std::span<const Tensor> inputs) {
  if (inside_trace()) return false;
  return std::all_of(inputs.begin(), inputs.end(), [](const Tensor& t) { return t.node()->level == 0; });
}

}  // namespace

JitCache::JitCache() : state_(std::make_unique<State>()) {}
JitCache::~JitCache() = default;

void JitCache::seal(Leaves& arguments, const void* types) {
  auto add = [&](const void* address) {
    auto word = reinterpret_cast<std::uintptr_t>(address);
    arguments.add_bytes(&word, sizeof word);
  };
  add(types);
  for (const Tensor* t : arguments.tensors) add(t->defined() ? t->node()->type.data() : nullptr);
}

std::shared_ptr<const JitEntry> JitCache::find(const Leaves& arguments) const {
  std::lock_guard lock(state_->mutex);
  auto found = state_->entries.find(arguments.key);
  if (found == state_->entries.end() || !same_numbers(found->second->numbers, arguments.numbers)) return nullptr;
  return found->second;
}

std::shared_ptr<JitEntry> JitCache::close(Trace& trace, LeafSpan results) {
  TraceState& s = trace.state();
  auto entry = std::make_shared<JitEntry>();
  std::vector<Tensor> out;
  for (const Tensor* t : results) {
    entry->results.push_back(t->defined());
    if (t->defined()) out.push_back(*t);
  }
  for (u32 i = 0; i < s.slots.size(); ++i)
    if (s.inputs[i].defined()) entry->inputs.push_back(i);
  for (size_t i : s.rebound()) {
    entry->state.push_back(static_cast<u32>(i));
    entry->state_defined.push_back(s.slots[i]->defined());
    if (s.slots[i]->defined()) out.push_back(*s.slots[i]);
  }
  entry->where = s.where;
  Cut cut = s.cut(out);
  entry->graph = std::move(cut.graph);
  entry->constants = std::move(cut.captures);
  return entry;
}

void JitCache::keep(const Leaves& arguments, std::shared_ptr<JitEntry> entry) {
  entry->numbers = arguments.numbers;
  std::unordered_map<std::string, std::shared_ptr<const JitEntry>> dropped;
  std::lock_guard lock(state_->mutex);
  ++state_->traces;
  if (state_->entries.size() >= kMostEntries) std::swap(dropped, state_->entries);
  state_->entries[arguments.key] = std::move(entry);
}

u64 JitCache::traces() const {
  std::lock_guard lock(state_->mutex);
  return state_->traces;
}

void JitCache::run(const JitEntry& entry, LeafSpan arguments, LeafSpan results) {
  std::vector<Tensor> in = given_tensors(entry, arguments);
  if (runs_now(in)) {
    in.clear();
    Launch launch(entry, arguments);
    std::vector<Tensor> out = launch.run();
    return place(entry, arguments, results, out);
  }
  place(entry, arguments, results, call_graph(entry.graph, in, entry.where));
}

}  // namespace tn::detail
