// Package ipinsights trains and serves IP Insights as SageMaker's built-in algorithm of that name does.
//
// Channels: train and validation (optional), both text/csv of two columns without a header: an entity and its address. The
// leading host of a job trains; the algorithm's own way of spreading over hosts is not documented. An address may be an IPv6
// one, which SageMaker's refuses.
//
// Sources: Amazon SageMaker developer guide, "IP Insights Hyperparameters", "IP Insights Training Data Formats", "IP Insights
// Inference Data Formats".
package ipinsights

import (
	"context"
	"errors"
	"io"
	"math"
	"net/netip"
	"strings"

	"homeostat/internal/sagemaker"
	"homeostat/ipinsights"
)

const modelFile = "model.ipinsights"

// Algorithm returns IP Insights.
func Algorithm() sagemaker.Algorithm {
	return sagemaker.Algorithm{Name: "ipinsights", Parameter: "num_entity_vectors", Train: train, Load: load}
}

func readParameters(j *sagemaker.Job) (ipinsights.Config, error) {
	p := j.Parameters()
	p.Require("num_entity_vectors", "vector_dim")
	c := ipinsights.Config{
		NumEntityVectors:  p.Int("num_entity_vectors", 1, 1, 250_000_000),
		VectorDim:         p.Int("vector_dim", 128, 4, 4096),
		Epochs:            p.Int("epochs", 10, 1, math.MaxInt32),
		MiniBatchSize:     p.Int("mini_batch_size", 10_000, 1, 500_000),
		LearningRate:      p.Float("learning_rate", 0.001, 1e-6, 10),
		WeightDecay:       new(p.Float("weight_decay", 0.00001, 0, 10)),
		EncoderLayers:     new(p.Int("num_ip_encoder_layers", 1, 0, 100)),
		RandomNegatives:   new(p.Int("random_negative_sampling_rate", 1, 0, 500)),
		ShuffledNegatives: new(p.Int("shuffled_negative_sampling_rate", 1, 0, 500)),
	}
	p.Int("batch_metrics_publish_interval", 1000, 1, math.MaxInt32) // how often MXNet prints its speed; an epoch is what we print
	return c, p.Err()
}

func train(ctx context.Context, j *sagemaker.Job) error {
	c, err := readParameters(j)
	if err != nil {
		return err
	}
	ch, err := j.Require("train")
	if err != nil {
		return err
	}
	if !j.Leads() {
		return nil
	}
	pairs, err := readPairs(ctx, ch)
	if err != nil {
		return err
	}
	var validation []ipinsights.Pair
	if ch, ok := j.Channel("validation"); ok {
		if validation, err = readPairs(ctx, ch); err != nil {
			return err
		}
	}
	c.Progress = func(p ipinsights.Progress) {
		j.Log.InfoContext(ctx, "epoch", "epoch", p.Epoch, "loss", p.Loss)
		if len(validation) > 0 {
			j.Metric("validation:discriminator_auc", "score", p.AUC)
		}
	}
	m, err := ipinsights.Train(ctx, c, pairs, validation)
	if errors.Is(err, ipinsights.ErrNoPairs) {
		return sagemaker.BadBody("channel train: no rows")
	}
	if err != nil {
		return err
	}
	_, err = j.Save(modelFile, m)
	return err
}

// readPairs reads a channel whole: training takes its pairs in another order each epoch.
func readPairs(ctx context.Context, ch *sagemaker.Channel) ([]ipinsights.Pair, error) {
	var pairs []ipinsights.Pair
	names := map[string]string{} // entities repeat: one copy of each
	err := ch.Read(ctx, func(_ string, r io.Reader) error {
		return sagemaker.CSVRows(r, func(line int, fields []string) error {
			p, err := pairOf(fields)
			if err != nil {
				return sagemaker.BadBody("line %d: %w", line, err)
			}
			name, ok := names[p.Entity]
			if !ok {
				name = strings.Clone(p.Entity)
				names[name] = name
			}
			pairs = append(pairs, ipinsights.Pair{Entity: name, IP: p.IP})
			return nil
		})
	})
	return pairs, err
}

// pairOf reads an entity and its address.
func pairOf(fields []string) (ipinsights.Pair, error) {
	if len(fields) != 2 {
		return ipinsights.Pair{}, errors.New("want two columns: an entity and an address")
	}
	ip, err := netip.ParseAddr(strings.TrimSpace(fields[1]))
	return ipinsights.Pair{Entity: strings.TrimSpace(fields[0]), IP: ip}, err
}
