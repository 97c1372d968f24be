// Package outlook looks an hour ahead: what response time, request count and error rate each endpoint of a service is going to have,
// and how full a filesystem, minute by minute and with a band. It tells when reality leaves the band, and before when the forecast
// itself crosses a limit.
//
// A [Detector] gathers the samples of each endpoint into minutes that the data itself closes, and keeps the last two days of them.
// Every five minutes it forecasts the next sixty with whatever did best on the last two hours (package forecast): Theta, the same
// minute of yesterday, the last value, what the last two hours had, DeepAR, and (of what has a limit) exponential smoothing and a
// straight line. DeepAR is one model for each kind of series over all endpoints, learned once a day beside the stream:
// [Detector.Lessons], [Learn], [Detector.Adopt].
//
// A minute is judged by the forecast's own distribution: how far in the tail it lies (the probability integral transform), the
// last five together, as one lone outlier is nobody's trouble. How strange that is, is held against how often the series had as much
// before, as the minutes of one forecast err together. Where the band of 80 % holds more than 83 or less than 77 % of what comes,
// it is narrowed or widened, a little with each minute: that of the next minutes by what they brought, that of the rest of the
// hour by what a forecast of an hour ago said of it.
//
// All that is said follows from the batches, their order, and which model was in use at each: a detector that was restored
// endpoint by endpoint, each as of its own place in the stream, says the same again. One goroutine.
//
// Sources: "Adaptive Conformal Inference Under Distribution Shift", NeurIPS 2021, for the band; "Probabilistic forecasts,
// calibration and sharpness", JRSS B 69 (2007), for the transform; "An Introduction to Statistical Modeling of Extreme Values", 2001, chapter
// 4, for the record.
package outlook
