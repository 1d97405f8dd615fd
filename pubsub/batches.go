package pubsub

// batches are the latest batch of each publisher that was delivered. A failover may lose a
// batch that had arrived here, and whose publisher had no reply and publishes it again.
type batches map[string]uint64

// maxPublishers is how many publishers are remembered at most.
const maxPublishers = 256

func (b batches) add(tag string) {
	publisher, number := batchOf(tag)
	if _, known := b[publisher]; !known && len(b) >= maxPublishers {
		clear(b)
	}
	b[publisher] = number
}

// has reports whether the batch of a tag was delivered.
func (b batches) has(tag string) bool {
	publisher, number := batchOf(tag)
	latest, known := b[publisher]
	return known && number <= latest
}
