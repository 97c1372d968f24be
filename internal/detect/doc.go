// Package detect turns samples into anomalies, with the data's own time and one point after the other.
//
// A [Runner] is the stage: it reads the stream, lets its detectors look at every batch, publishes what they find and writes
// their state with its position in the stream. A [Detector] of kind rcf ([Forests]) gathers an entity's series into features
// (cpu, memory, network, disk, or any selector) over intervals that the data itself closes, and has a [Model] for each
// entity. A model scores a point, decides whether it makes an anomaly, and learns it; backtest feeds it the rows of a file.
//
// How a model works, in the order of a point's way through it:
//
//   - what was expected: of each feature, its recent level, its longer level, its time of the day and of the week are four
//     experts whose forecasts are mixed as their errors of late deserve; the band is what residuals have been (feature.go)
//   - the score, which ranks points: a Random Cut Forest's, the mean over shingles of 1, 2, 4 and 8 points, plus how rare the
//     features find the point (model.go)
//   - how new it is: how far the features go beyond what they have ever been, seen in several ways (record.go)
//   - how well it keeps to its day and week, for hours: what fails to come is within all that ever was (rhythm.go)
//   - news, which decides: nothing as new was there of late, and breaking records hasn't become usual (news.go)
//   - how strong news has to be, for the rate of false alarms that the configuration names; in the first day, and with a
//     percentile, several points in a row above a threshold of the score (decide.go)
//   - begin, going on, end: an anomaly goes on above a lower threshold and ends with its last strange point (decide.go)
//   - what people's judgements change (feedback.go)
//   - the sentence (explain.go)
//
// Everything follows from the batches and their order: replayed, they give the same anomalies with the same ids. Training from
// history ([History]) goes on beside the stream, one model at a time within a share of one core; a trained model takes over
// between two batches, and a checkpoint is written right there.
//
// A Forests, a Model: one goroutine. A Runner: Run by one, Position and Health by any.
//
// Sources: package rcf for the forest; Siffer et al., "Anomaly Detection in Streams with Extreme Value Theory", KDD 2017, for
// thresholds of the score, here with an exponential tail; Rényi, "Théorie des éléments saillants d'une suite d'observations", 1962,
// for how often noise breaks its records; Brown et al., "The time-rescaling theorem and its application to neural spike train data
// analysis", 2002, for silences by night and by day.
package detect
