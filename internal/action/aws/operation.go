package aws

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"homeostat/automation"
)

// reading and changing are the two kinds of operation. Whoever forgets to say has a changing one.
const (
	changing = automation.Changing
	reading  = automation.Reading
)

// again says what it means to make a call a second time because nobody knows what came of the first. The zero value is the
// careful one.
type again int

const (
	askPerson again = iota // it could do twice what was wanted once: a person is asked
	sameState              // it sets a state: a second time changes nothing more
	sameToken              // it carries a client token: the service answers the second as it did the first
)

// operation is one line of the allow-list: what may be asked of AWS, and how.
type operation struct {
	service string // as boto3 and Systems Manager name it: "ec2", "logs", "stepfunctions"
	name    string // as the API has it: "DescribeInstances"
	effect  automation.Effect
	actions []string // of IAM, that its caller needs
	again   again
	token   string // the member that carries the client token; "" without one

	check func(in map[string]any) error
	do    func(ctx context.Context, cfg aws.Config, in map[string]any) (map[string]any, error)
}

// service is one of AWS' services: F is the options of the SDK's client of it.
type service[F any] struct {
	name  string // as boto3 has it
	iam   string // its prefix in IAM's actions
	names names
	set   func(*F, aws.Config) // says where a call goes, and as whom
}

// op makes an operation of a method of the SDK's client. What it takes and answers is known to the compiler: nothing is looked
// up by name, and what is not in the list is not even linked. (The client's type must not be a type parameter: it would go into
// the dictionary, and with it the linker would keep all its methods, which made the binary 90 MB larger.)
func op[F, I, O any](s service[F], name string, call func(context.Context, *I, ...func(*F)) (*O, error), e automation.Effect, more ...func(*operation)) operation {
	o := operation{
		service: s.name, name: name, effect: e, actions: []string{s.iam + ":" + name},
		check: func(in map[string]any) error { return s.names.decode(in, new(I)) },
		do: func(ctx context.Context, cfg aws.Config, in map[string]any) (map[string]any, error) {
			typed := new(I)
			if err := s.names.decode(in, typed); err != nil {
				return nil, fmt.Errorf("%s %s: %w", s.name, name, err)
			}
			out, err := call(ctx, typed, func(o *F) { s.set(o, cfg) })
			if err != nil {
				return nil, err
			}
			return s.names.encode(out), nil
		},
	}
	for _, m := range more {
		m(&o)
	}
	return o
}

// sets marks an operation that sets a state, so that a second time changes nothing more.
func sets(o *operation) { o.again = sameState }

// token names the member that carries the client token.
func token(member string) func(*operation) {
	return func(o *operation) { o.again, o.token = sameToken, member }
}

// needs names the actions of IAM where they aren't called as the operation is.
func needs(actions ...string) func(*operation) {
	return func(o *operation) { o.actions = actions }
}

// also names actions of IAM that the operation needs besides its own.
func also(actions ...string) func(*operation) {
	return func(o *operation) { o.actions = append(o.actions, actions...) }
}

// registry finds operations by service and name.
type registry map[string]operation

func newRegistry() registry {
	r := registry{}
	for _, o := range append(operations(), plans()...) {
		r[key(o.service, o.name)] = o
	}
	return r
}

// key takes a name as the API has it (DescribeInstances) and as boto3 has it (describe_instances): documents use both.
func key(service, name string) string {
	return strings.ToLower(service + " " + strings.ReplaceAll(name, "_", ""))
}

// find returns the operation, or an error that says what of it is not in the list.
func (r registry) find(service, name string) (operation, error) {
	if o, ok := r[key(service, name)]; ok {
		return o, nil
	}
	var services []string
	for _, o := range r {
		if strings.EqualFold(o.service, service) {
			return operation{}, fmt.Errorf("%s %s is not among the operations that Homeostat may call", service, name)
		}
		if !slices.Contains(services, o.service) {
			services = append(services, o.service)
		}
	}
	slices.Sort(services)
	return operation{}, fmt.Errorf("%s %s is not among the operations that Homeostat may call; of no other service than %s is there one",
		cmp.Or(service, "a service without name,"), name, strings.Join(services, ", "))
}
