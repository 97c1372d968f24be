// Package evaluate measures detectors: the Numenta Anomaly Benchmark's published scoring ([NAB]), average precision, and a
// generator of load with faults in it ([Generate]) to develop on, so that the benchmarks stay for reporting.
//
// Sources: Lavin and Ahmad, "Evaluating Real-time Anomaly Detection Algorithms - the Numenta Anomaly Benchmark", ICMLA 2015,
// and the scoring in numenta/NAB, whose published results this package reproduces.
package evaluate
