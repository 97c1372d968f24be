package eventpattern_test

import (
	"fmt"
	"slices"

	"homeostat/eventpattern"
)

func ExampleParse() {
	_, err := eventpattern.Parse("routes/cpu.json", []byte(`{
  "source": ["homeostat.detect"],
  "detail": {
    "grade": [{"numeric": [">"]}],
    "entity": "web-1"
  }
}`))
	fmt.Println(err)
	// Output:
	// routes/cpu.json:4:27: detail.grade: "numeric" needs pairs of operator and number
	// routes/cpu.json:5:15: detail.entity: the value must be an array of alternatives or an object, not a string
}

func ExamplePattern_Match() {
	p, err := eventpattern.Parse("", []byte(`{"detail": {"state": [{"anything-but": "running"}], "cpu": [{"numeric": [">=", 80]}]}}`))
	if err != nil {
		panic(err)
	}
	fmt.Println(p.Match([]byte(`{"detail": {"state": "stopping", "cpu": 8.05e1}}`)))
	fmt.Println(p.Match([]byte(`{"detail": {"state": "running", "cpu": 99}}`)))
	// Output:
	// true <nil>
	// false <nil>
}

func ExamplePattern_Explain() {
	p, err := eventpattern.Parse("", []byte(`{"source": ["aws.ec2"], "detail": {"ip": [{"cidr": "10.0.0.0/8"}], "tag": [{"exists": true}]}}`))
	if err != nil {
		panic(err)
	}
	why, err := p.Explain([]byte(`{"source": "aws.ec2", "detail": {"ip": ["192.168.0.1", "172.16.0.9"]}}`))
	if err != nil {
		panic(err)
	}
	fmt.Print(why)
	// Output:
	// fails    detail.ip is "192.168.0.1", "172.16.0.9"; wanted cidr "10.0.0.0/8"
	// fails    detail.tag is absent; wanted present
	// matches  source is "aws.ec2"; wanted "aws.ec2"
}

func ExampleMatcher() {
	var m eventpattern.Matcher
	for name, text := range map[string]string{
		"images":  `{"detail": {"key": [{"suffix": ".png"}, {"suffix": ".jpg"}]}}`,
		"uploads": `{"detail": {"key": [{"wildcard": "uploads/*/*.png"}]}}`,
		"deleted": `{"detail-type": ["Object Deleted"]}`,
	} {
		p, err := eventpattern.Parse(name, []byte(text))
		if err != nil {
			panic(err)
		}
		if err := m.Add(name, p); err != nil {
			panic(err)
		}
	}
	names, err := m.Match(nil, []byte(`{"detail-type": "Object Created", "detail": {"key": "uploads/7/cat.png"}}`))
	slices.Sort(names)
	fmt.Println(names, err)
	// Output: [images uploads] <nil>
}

func ExampleTransformer() {
	t, err := eventpattern.NewTransformer("routes/stop.json",
		map[string]string{"instance": "$.detail.instance-id", "state": "$.detail.state"},
		`{"instance": <instance>, "text": "<instance> is <state>, says <aws.events.rule-name>"}`)
	if err != nil {
		panic(err)
	}
	input, err := t.Transform([]byte(`{"detail": {"instance-id": "i-1", "state": "\"gone\""}}`), eventpattern.Variables{RuleName: "stop"})
	fmt.Println(string(input), err)
	// Output: {"instance": "i-1", "text": "i-1 is \"gone\", says stop"} <nil>
}
