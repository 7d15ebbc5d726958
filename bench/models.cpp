// Rows that are a network: its inference by the engine, or a jitted step of its training.
#include "models.h"

#include "planned.h"

namespace tn::bench {

namespace {

/// Training: the state stays in the model and the optimiser, as a user's loop would have it.
template <class Loss, class Model>
class Training {
 public:
  Training(Model model, const Tensor& x, const Tensor& y)
      : model_(std::move(model)), adam_(optim::adam(model_, {.lr = 1e-3})), x_(x), y_(y) {}

  void run() { loss_ = step_(model_, adam_, x_, y_); }
  NamedTensors outputs() {
    std::vector<float> losses;
    for (int i = 0; i < 3; ++i) {
      run();
      losses.push_back(static_cast<float>(loss_.item()));
    }
    return {{"losses", tensor(losses)}};
  }

 private:
  Model model_;
  optim::Adam adam_;
  Tensor x_, y_, loss_;
  decltype(train_step<Model, Loss>()) step_ = train_step<Model, Loss>();
};

template <class Loss, class Model>
Work trained(Model model, const Inputs& in, std::string_view y) {
  auto training = std::make_shared<Training<Loss, Model>>(with_weights(std::move(model), in), in["x"], in[y]);
  return {[training] { training->run(); }, [training] { return training->outputs(); }};
}

nn::TransformerEncoderLayer encoder() {
  nn::Keys keys(0);
  return nn::transformer_encoder_layer(keys, 384, 12, 1536, {.dropout = 0, .activation = nn::Activation::gelu});
}

Work row_cnn_train(const Inputs& in) { return trained<CnnLoss>(Net::make(nn::Keys(0)), in, "labels"); }

Work row_cnn_infer(const Inputs& in) { return planned(in, with_weights(Net::make(nn::Keys(0)), in), {"y"}, "x"); }

Work row_mlp_train(const Inputs& in) {
  nn::Keys keys(0);
  Mlp mlp{.fc1 = nn::linear(keys, 784, 1024), .fc2 = nn::linear(keys, 1024, 1024), .fc3 = nn::linear(keys, 1024, 10)};
  return trained<MlpLoss>(std::move(mlp), in, "labels");
}

Work row_encoder_infer(const Inputs& in) {
  auto layer = with_weights(encoder(), in);
  return planned(in, layer, {"y"}, "x");
}

Work row_encoder_train(const Inputs& in) { return trained<EncoderLoss>(encoder(), in, "target"); }

}  // namespace

std::vector<Row> model_rows() {
  return {{"cnn_train", row_cnn_train},        {"train_memory", row_cnn_train}, {"cnn_infer_64", row_cnn_infer},
          {"cnn_infer_1", row_cnn_infer},      {"mlp_train", row_mlp_train},    {"encoder_infer", row_encoder_infer},
          {"encoder_train", row_encoder_train}};
}

}  // namespace tn::bench
