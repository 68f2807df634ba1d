package vertex

import (
	"context"
	"os"

	"golang.org/x/oauth2/google"
)

// fromFile reads credentials of the kinds that Google's own tools write.
func fromFile(ctx context.Context, path string) (*google.Credentials, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return google.CredentialsFromJSON(ctx, text, scope) //nolint:staticcheck // the file is the operator's own, not a caller's
}
