package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"homeostat/internal/sagemaker"
	"homeostat/internal/sagemaker/deepar"
	"homeostat/internal/sagemaker/ipinsights"
	"homeostat/internal/sagemaker/rcf"
)

// algorithms are what train and serve know.
func algorithms() []sagemaker.Algorithm {
	return []sagemaker.Algorithm{
		deepar.Algorithm(),
		ipinsights.Algorithm(),
		rcf.Algorithm(),
	}
}

func trainCommand() *cobra.Command {
	var root, algorithm, level string
	cmd := &cobra.Command{
		Use:   "train",
		Short: "Train a model, as SageMaker has a container train",
		Long: `Trains a model as Amazon SageMaker has a container train one: hyperparameters and channels below /opt/ml/input, the model
in /opt/ml/model, and why it failed in /opt/ml/output/failure. Outside a container --root stands for /opt/ml.

The algorithm is --algorithm, else what the hyperparameters say: feature_dim means Random Cut Forest (rcf), num_entity_vectors IP Insights
(ipinsights), prediction_length DeepAR (deepar).

Metrics are lines on standard output.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLogger(level)
			if err != nil {
				return &exitError{2, err}
			}
			err = sagemaker.Train(cmd.Context(), sagemaker.TrainConfig{
				Root: root, Algorithm: algorithm, Algorithms: algorithms(), Metrics: cmd.OutOrStdout(),
			}, log)
			return configMistake(err)
		},
	}
	f := cmd.Flags()
	f.StringVar(&root, "root", sagemaker.DefaultRoot, "`DIR` that stands for /opt/ml")
	f.StringVar(&algorithm, "algorithm", "", "`NAME` of the algorithm, where the hyperparameters don't tell")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

func serveCommand() *cobra.Command {
	var root, algorithm, listen, level string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve a trained model, as SageMaker has a container serve",
		Long: `Serves the model in /opt/ml/model as Amazon SageMaker has a container serve one: GET /ping, POST /invocations and
GET /execution-parameters; and POST /endpoints/NAME/invocations, so that the SageMaker Runtime client of an AWS SDK can be
pointed at it. Outside a container --root stands for /opt/ml.

The algorithm is the one that trained the model, unless --algorithm names one.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLogger(level)
			if err != nil {
				return &exitError{2, err}
			}
			dir, err := openModelDir(filepath.Join(root, "model"))
			if err != nil {
				return &exitError{2, err}
			}
			defer dir.Close()
			predictor, name, err := sagemaker.Load(dir.FS(), algorithms(), algorithm)
			if err != nil {
				return configMistake(err)
			}
			s, err := sagemaker.NewServer(predictor, nil, log.With("algorithm", name))
			if err != nil {
				return configMistake(err)
			}
			ctx := cmd.Context()
			l, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
			if err != nil {
				return err
			}
			log.InfoContext(ctx, "model is served", "algorithm", name, "url", "http://"+l.Addr().String())
			return s.Serve(ctx, l)
		},
	}
	f := cmd.Flags()
	f.StringVar(&root, "root", sagemaker.DefaultRoot, "`DIR` that stands for /opt/ml")
	f.StringVar(&algorithm, "algorithm", "", "`NAME` of the algorithm, in place of the model's own")
	f.StringVar(&listen, "listen", "0.0.0.0:8080", "address and port `ADDR`")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

// configMistake gives status 2 to an error that is a mistake in what the job or the model folder says of itself.
func configMistake(err error) error {
	if _, ok := errors.AsType[*sagemaker.ConfigError](err); ok {
		return &exitError{2, err}
	}
	return err
}

func openModelDir(path string) (*os.Root, error) {
	dir, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("no model: %w", err)
	}
	return dir, nil
}
