// Runs an exported ONNX file in C++, as run_onnx.py does in Python: copy this file where it is needed.
//
//   apt-get install g++ nlohmann-json3-dev libonnxruntime-dev libopencv-dev      (Debian 13 and later)
//   g++ -std=c++17 -O2 run_onnx.cpp -o run_onnx -I/usr/include/onnxruntime -I/usr/include/opencv4
//       -lonnxruntime -lopencv_imgcodecs -lopencv_imgproc -lopencv_core
//   ./run_onnx model.onnx image.png [lowest score, 0.3]
//
// The image goes in as it is stored, 8 or 16 bits, since the tone mapping is in the file.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <onnxruntime_cxx_api.h>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

// What the tone mapping makes black, in the unit of the image, if it is a window of fixed values.
static double lowest_value(const nlohmann::json &mapping) {
    if (!mapping.is_object() || mapping.value("method", "") != "window") return 0;
    const double low = mapping["low"];
    if (!mapping.contains("kelvin_per_count") || mapping["kelvin_per_count"].is_null()) return low;
    return (low + 273.15) / double(mapping["kelvin_per_count"]);
}

// Grey values of an image in the type that the model takes; throws for colours, other sizes and lost bits.
static cv::Mat read_grey(const std::string &path, const nlohmann::json &input, const nlohmann::json &mapping) {
    cv::Mat image = cv::imread(path, cv::IMREAD_ANYDEPTH | cv::IMREAD_ANYCOLOR);  // as stored, but upright
    if (image.empty()) throw std::runtime_error("cannot read " + path);
    if (cv::imcount(path) > 1) throw std::runtime_error(path + ": expected one image, got a stack");
    if (image.channels() > 1) {  // grey values, three times
        std::vector<cv::Mat> planes;
        cv::split(image, planes);
        for (int i = 1; i < 3 && i < image.channels(); i++)
            if (cv::norm(planes[0], planes[i], cv::NORM_INF) > 0)
                throw std::runtime_error(path + ": expected grey values, got colours");
        image = planes[0];
    }
    auto fits = [&](const char *side, int found) { return input[side].is_null() || input[side] == found; };
    if (!fits("batch", 1) || !fits("height", image.rows) || !fits("width", image.cols))
        throw std::runtime_error(path + ": the model was exported for another size or batch: " + input.dump());
    if (input["dtype"] == "uint8" && image.depth() != CV_8U)
        throw std::runtime_error(path + ": expected 8 bits, which this model takes");
    if (image.depth() >= CV_32F && input["dtype"] != "float32")
        throw std::runtime_error(path + ": expected whole numbers, which this model takes, got temperatures");
    if (!cv::checkRange(image)) throw std::runtime_error(path + ": expected finite values, got NaN or infinite ones");
    if (image.depth() == CV_8U && lowest_value(mapping) >= 255)
        throw std::runtime_error(path + ": expected counts, got 8 bits, which the model would see black");
    const std::map<std::string, int> types{{"uint8", CV_8U}, {"int32", CV_32S}, {"float32", CV_32F}};
    const auto type = types.find(input["dtype"]);
    if (type == types.end()) throw std::runtime_error("the model takes a type unknown here: " + input.dump());
    image.convertTo(image, type->second);
    return image;
}

// The mask head's grid of probabilities at a pixel of the image, between its cells, and 0 outside of the box.
static float probability(const cv::Mat &grid, const float *box, int x, int y) {
    const float u = (x + 0.5f - box[0]) / std::max(box[2] - box[0], 1e-6f) * grid.cols - 0.5f;
    const float v = (y + 0.5f - box[1]) / std::max(box[3] - box[1], 1e-6f) * grid.rows - 0.5f;
    float sum = 0;
    for (int row = int(std::floor(v)); row <= int(std::floor(v)) + 1; row++)
        for (int column = int(std::floor(u)); column <= int(std::floor(u)) + 1; column++)
            if (row >= 0 && column >= 0 && row < grid.rows && column < grid.cols)
                sum += (1 - std::abs(v - row)) * (1 - std::abs(u - column)) * grid.at<float>(row, column);
    return sum;
}

static void detect(const std::string &model, const std::string &path, float lowest) {
    Ort::Env environment(ORT_LOGGING_LEVEL_ERROR, "run_onnx");
    Ort::Session session(environment, model.c_str(), Ort::SessionOptions{});
    Ort::AllocatorWithDefaultOptions allocator;
    const auto text = session.GetModelMetadata().LookupCustomMetadataMapAllocated("mmdet_ir", allocator);
    if (!text) throw std::runtime_error(model + ": expected a file of tools/deploy/export.py");
    const auto meta = nlohmann::json::parse(text.get());
    const cv::Mat image = read_grey(path, meta["input"], meta["tone_mapping"]);
    const int channels = meta["input"]["channels"], rows = image.rows, columns = image.cols;

    std::vector<uchar> values;  // [1, channels, height, width]
    for (int i = 0; i < channels; i++) values.insert(values.end(), image.datastart, image.dataend);
    const std::vector<int64_t> shape{1, channels, rows, columns};
    const auto name = session.GetInputNameAllocated(0, allocator);
    const auto type = session.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetElementType();
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    const auto input =
        Ort::Value::CreateTensor(memory, values.data(), values.size(), shape.data(), shape.size(), type);
    const char *inputs[] = {name.get()}, *outputs[] = {"boxes", "scores", "labels", "masks"};
    auto found = session.Run(Ort::RunOptions{}, inputs, &input, 1, outputs, 4);

    const float *boxes = found[0].GetTensorData<float>(), *scores = found[1].GetTensorData<float>();
    const int64_t *labels = found[2].GetTensorData<int64_t>();
    const auto size = found[3].GetTensorTypeAndShapeInfo().GetShape();  // [detections, rows, columns]
    const bool raw = meta["masks"] == "raw";  // a grid for each box, or masks of the whole image, 0 or 1
    std::vector<size_t> order(size[0]);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
    for (const size_t i : order) {
        if (scores[i] < lowest) break;
        const float *box = boxes + 4 * i;
        int area = 0;
        if (raw) {
            float *cells = found[3].GetTensorMutableData<float>() + i * size[1] * size[2];
            const cv::Mat grid(int(size[1]), int(size[2]), CV_32F, cells);
            for (int y = 0; y < rows; y++)
                for (int x = 0; x < columns; x++)
                    area += probability(grid, box, x, y) >= meta["mask_threshold"].get<float>();
        } else {
            const cv::Mat mask(rows, columns, CV_8U, found[3].GetTensorMutableData<uchar>() + i * rows * columns);
            area = cv::countNonZero(mask);
        }
        const std::string label = meta["classes"][labels[i]];
        std::printf("%s %.3f box [%.1f, %.1f, %.1f, %.1f] mask %d px\n", label.c_str(), scores[i], box[0], box[1],
                    box[2], box[3], area);
    }
}

int main(int count, char **arguments) {
    if (count < 3) {
        std::fprintf(stderr, "usage: %s model.onnx image.png [lowest score, 0.3]\n", arguments[0]);
        return 2;
    }
    try {
        detect(arguments[1], arguments[2], count > 3 ? std::stof(arguments[3]) : 0.3f);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
}
