// Package sagemaker is the contract between Amazon SageMaker and a container that trains and serves a model: files below
// /opt/ml on one side, HTTP on the other. It knows no algorithm; those are folders below it.
//
// An [Algorithm] trains from a [Job] (hyperparameters, channels, where the model goes) and loads what it has written as a
// [Predictor]. To add one: a folder that returns an Algorithm, and a line in cmd/homeostat's list.
//
//	func Algorithm() sagemaker.Algorithm {
//		return sagemaker.Algorithm{Name: "rcf", Parameter: "feature_dim", Train: train, Load: load}
//	}
//
// [Train] reads input/config, runs the algorithm, writes its metrics to standard output and, when it fails, the reason to
// output/failure. A model folder holds a manifest that names the algorithm, written last: a model without one was never
// finished and is not served. [Server] answers /ping, /invocations, /execution-parameters, and /endpoints/NAME/invocations as
// the SageMaker Runtime API does, so that an AWS SDK can be pointed at it.
//
// Formats: CSV and RecordIO-protobuf as streams of rows ([CSVRows], [Records]), JSON and JSON Lines as instances
// ([Instances]). What comes from outside is bounded, and a mistake in it is an error with its place.
//
// A Job and what it hands out: one goroutine. A Server calls its Predictor from many.
//
// Sources: Amazon SageMaker developer guide, "How Amazon SageMaker Runs Your Training Image", "... Provides Training
// Information", "... Processes Training Output", "Use Your Own Inference Code ...", "Common Data Formats for Training" and
// "... for Inference"; SageMaker Runtime API, "InvokeEndpoint".
package sagemaker
