package pubsubtest

import "github.com/freshet-go/freshet/pubsub"

var patternCases = []testCase{
	{name: "Pattern", rule: "A pattern has the events of the topics that match, each once, and no others.", run: func(s *suite) {
		base := newTopic()
		_, r := s.subscribe(s.Bus, base+".order.*", pubsub.SubscribeOptions{Pattern: true})
		_, plain := s.subscribe(s.Bus, base+".order.1", pubsub.SubscribeOptions{})
		_, odd := s.subscribe(s.Bus, base+`.[a-c]?\*}:{x}`, pubsub.SubscribeOptions{Pattern: true})
		s.publish(s.Bus, base+".order.1", "one")
		s.publish(s.Bus, base+".refund.1", "no")
		s.publish(s.Bus, base+".order.22", "two")
		s.publish(s.Bus, base+".order.", "three")
		s.publish(s.Bus, base+".b7*}:{x}", "odd")
		s.publish(s.Bus, base+".d7*}:{x}", "even")
		r.until("three events", func() bool { return len(r.events) >= 3 })
		odd.has("odd")
		plain.has("one")
		got := map[string]string{}
		for _, e := range r.events {
			got[e.Topic] = string(e.Data)
		}
		if len(r.events) != 3 || got[base+".order.1"] != "one" || got[base+".order.22"] != "two" || got[base+".order."] != "three" {
			s.broken("the pattern had %v", got)
		}
	}},
	{name: "PatternIsTopic", rule: "Without Pattern a topic is a name, whatever characters it has.", run: func(s *suite) {
		base := newTopic()
		_, r := s.subscribe(s.Bus, base+"*", pubsub.SubscribeOptions{})
		s.publish(s.Bus, base+"x", "no")
		s.publish(s.Bus, base+"*", "yes")
		r.has("yes")
	}},
}
