// Package price says what tokens cost, in integers: a millionth of the currency is
// the smallest amount there is.
package price

import "math"

// Micro is an amount of money in millionths of the currency.
type Micro int64

// Most is the largest amount. What would be more stays at it.
const Most Micro = math.MaxInt64

// Plus adds an amount. A sum that does not fit is Most, and never wraps around.
func (m Micro) Plus(n Micro) Micro {
	sum := m + n
	if m > 0 && n > 0 && sum < 0 {
		return Most
	}
	if m < 0 && n < 0 && sum >= 0 {
		return -Most
	}
	return sum
}
