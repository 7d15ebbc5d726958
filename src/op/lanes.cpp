#include "op/lanes.h"

namespace tn {

Batched batch_by_scan(const OpDef& o, Builder& b, Dim n, ValueSpan x, const Mask& batched, const Attrs& attrs) {
  static const OpDef& scan_op = op("scan");
  Values operands;  // consts, then lanes
  std::vector<Type> types;
  std::vector<size_t> order;
  i64 consts = 0;
  for (bool lanes : {false, true})
    for (size_t i = 0; i < x.size(); ++i) {
      if (batched[i] != lanes) continue;
      consts += !lanes;
      order.push_back(i);
      operands.push_back(x[i]);
      types.push_back(lanes ? x[i].type().with(x[i].shape().subspan(1)) : x[i].type());
    }
  GraphPtr body = make_graph(types, [&](Builder& inner, ValueSpan in) {
    Values args(in.size());
    for (size_t k = 0; k < order.size(); ++k) args[order[k]] = in[k];
    return inner.emit(o, args, attrs);
  });
  return all_batched(
      b.emit(scan_op, operands,
             {{"body", body}, {"consts", consts}, {"carry", i64{0}}, {"length", Shape{n}}, {"reverse", false}}));
}

}  // namespace tn
