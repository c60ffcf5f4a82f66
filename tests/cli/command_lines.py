"""Command lines that `aws ecr` and `ecrate ecr` are to treat alike, as a shell takes them.

They run in a folder with the files of `FILES`, against a registry with the repositories `eq/one`
(three images, one of them without a tag) and `eq/two` (none).
"""

from __future__ import annotations

from typing import Final

FILES: Final = {
    "name": b"eq/one",
    "name.json": b'{"repositoryName": "eq/one"}',
    "name.yaml": b"# which one\nrepositoryName: eq/one\n",
    "both.json": b'{"repositoryName": "no/such", "filter": {"tagStatus": "TAGGED"}}',
    "both.yaml": b"repositoryName: no/such\nfilter:\n  tagStatus: TAGGED\n",
    "ids.json": b'[{"imageTag": "1"}, {"imageTag": "2"}]',
    "list.json": b"[1]",
    "bad.json": b"{",
    "bad.yaml": b"a: [",
    "latin1": "größe".encode("latin-1"),
    "policy.json": b'{"rules": [{"rulePriority": 1, "selection": {"tagStatus": "untagged", '
    b'"countType": "imageCountMoreThan", "countNumber": 9}, "action": {"type": "expire"}}]}',
    "config": b"[default]\nregion = us-east-1\n[profile work]\noutput = text\nregion = us-east-1\n"
    b"[profile iso]\noutput = json\ncli_timestamp_format = iso8601\n"
    b"[profile wire]\noutput = yaml\ncli_timestamp_format = wire\nregion = us-east-1\n"
    b"[profile bad]\noutput = xml\nregion = us-east-1\n",
    "access.json": b'{"Version": "2012-10-17", "Statement": [{"Sid": "a", "Effect": "Allow", '
    b'"Principal": "*", "Action": "ecr:ListImages"}]}',
}

_ONE: Final = "--repository-name eq/one"
_ARN: Final = "--resource-arn arn:aws:ecr:us-east-1:000000000000:repository/eq/one"
_PART: Final = "upload-layer-part --repository-name eq/one --upload-id a --part-first-byte"

# Good ones, in each form of output; those that write leave the same behind each time.
GOOD: Final = f"""
describe-repositories
describe-repositories --repository-names eq/one eq/two
describe-repositories --repository-names '["eq/one","eq/two"]'
describe-repositories --repository-names eq/two --repository-names eq/one
describe-repositories --repository-names=eq/one
describe-repositories --repository-name eq/one
describe-repositories --registry-id 000000000000
describe-repositories --max-items 1
describe-repositories --max-items 2 --page-size 1
describe-repositories --max-items 0
describe-repositories --max-items 100
describe-repositories --page-size 1
describe-repositories --max-results 1
describe-repositories --max-results 1 --no-paginate
describe-repositories --no-paginate
describe-repositories --page-size 1 --query repositories[].repositoryUri
describe-repositories --max-items 1 --query repositories[].repositoryName
describe-repositories --max-items 1 --query NextToken
describe-repositories --query nothing
describe-repositories --query repositories[].[repositoryName,createdAt]
describe-repositories --query 'repositories[*].{{Name: repositoryName, Uri: repositoryUri}}'
describe-repositories --query 'repositories[0]'
describe-repositories --query 'repositories[0].imageScanningConfiguration'
describe-repositories --query 'repositories[?repositoryName==`eq/one`].repositoryArn | [0]'
describe-repositories --query 'sort_by(repositories, &repositoryName)[-1].repositoryName'
describe-repositories --query 'length(repositories)'
describe-repositories --query 'repositories[].imageTagMutability == `x`'
describe-repositories --query '`{{"a": {{"b": []}}}}`'
describe-repositories --query '`[[1, 2], "y"]`'
describe-repositories --query '`[[null, true], [false, 0]]`'
describe-repositories --query '`[]`'
describe-repositories --query '`{{}}`'
describe-repositories --query '`""`'
describe-repositories --query '`false`'
describe-repositories --query '`[[1, 2], [3, 4]]`'
describe-repositories --query '`[{{"a": 1}}, {{"b": [1, 2]}}]`'
describe-repositories --query '`{{"größe": "日本語", "b": {{"c": "d"}}}}`'
describe-repositories --query '`1.50`'
describe-repositories --color off
describe-repositories --color on
describe-repositories --region us-east-1
describe-repositories --debug
describe-repositories --cli-read-timeout 5 --cli-connect-timeout 0
describe-repositories --generate-cli-skeleton
describe-repositories --generate-cli-skeleton input
describe-repositories --generate-cli-skeleton output
describe-repositories --generate-cli-skeleton output --query repositories[].createdAt
put-image-tag-mutability {_ONE} --image-tag-mutability MUTABLE --generate-cli-skeleton output
describe-registry
describe-images {_ONE}
describe-images {_ONE} --image-ids imageTag=1
describe-images {_ONE} --image-ids imageTag=1 imageTag=2
describe-images {_ONE} --image-ids '{{"imageTag": "1"}}' '{{"imageTag": "2"}}'
describe-images {_ONE} --image-ids '[{{"imageTag": "1"}}]'
describe-images {_ONE} --image-ids file://ids.json
describe-images {_ONE} --filter tagStatus=UNTAGGED
describe-images {_ONE} --filter 'tagStatus = TAGGED '
describe-images {_ONE} --filter '{{"tagStatus": "ANY"}}'
describe-images {_ONE} --max-items 1
describe-images {_ONE} --query 'imageDetails[].[imageSizeInBytes,imageTags]'
describe-images {_ONE} --query 'imageDetails[].imageTags[]'
describe-images {_ONE} --query 'imageDetails[].imageTags'
describe-images {_ONE} --generate-cli-skeleton output
list-images {_ONE}
list-images {_ONE} --max-items 2
list-images {_ONE} --page-size 2
list-images {_ONE} --page-size 1 --max-items 3
list-images {_ONE} --filter tagStatus=TAGGED --query 'imageIds[].imageTag'
list-images --repository-name eq/two
list-images --repository-name file://name
list-images --repository-n eq/one
list-images --cli-input-json file://name.json
list-images --cli-input-json '{{"repositoryName": "eq/one", "maxResults": 1}}'
list-images --cli-input-json '{{"repositoryName": "eq/one"}}' --max-items 1
list-images --cli-input-json file://both.json {_ONE}
list-images --cli-input-json file://both.json --repository-name eq/two --filter tagStatus=ANY
batch-get-image {_ONE} --image-ids imageTag=1 imageTag=none
batch-get-image {_ONE} --image-ids imageTag=none --accepted-media-types a/b c/d
batch-get-image {_ONE} --image-ids imageDigest=sha256:ab imageDigest=sha256:cd,imageTag=x
batch-check-layer-availability {_ONE} --layer-digests sha256:ab nonsense
batch-delete-image {_ONE} --image-ids imageTag=none
get-account-setting --name BLOB_MOUNTING
put-account-setting --name BLOB_MOUNTING --value ENABLED
put-image-tag-mutability {_ONE} --image-tag-mutability MUTABLE
put-image-scanning-configuration {_ONE} --image-scanning-configuration scanOnPush=true
put-image-scanning-configuration {_ONE} --image-scanning-configuration scanOnPush=False
put-lifecycle-policy {_ONE} --lifecycle-policy-text file://policy.json
get-lifecycle-policy {_ONE} --query lifecyclePolicyText
set-repository-policy {_ONE} --policy-text file://access.json --force
set-repository-policy {_ONE} --policy-text file://access.json --no-force
get-repository-policy {_ONE}
get-repository-policy {_ONE} --query policyText
tag-resource {_ARN} --tags Key=a,Value=
tag-resource {_ARN} --tags Key=a,Value=b
list-tags-for-resource {_ARN}
describe-repository-creation-templates
list-pull-time-update-exclusions
put-image --generate-cli-skeleton input
put-image --generate-cli-skeleton --repository-name x
create-repository --repository-name a --generate-cli-skeleton input
wait image-scan-complete --generate-cli-skeleton
""".strip().splitlines()

# Bad ones: nothing on standard output, and the exit code of version 2.
BAD: Final = f"""
list-images
list-imagez
list-images {_ONE} --nonsense
list-images {_ONE} nonsense
list-images {_ONE} --nonsense=1 --x y
list-images --repository-name
list-images {_ONE} --output
list-images {_ONE} --output nonsense
list-images {_ONE} --output json --output nonsense
list-images {_ONE} --color nonsense
list-images {_ONE} --query
list-images {_ONE} --query 'a['
list-images {_ONE} --query 'a[' --generate-cli-skeleton
list-images --generate-cli-skeleton=output
list-images {_ONE} --max-items 1 --no-paginate --generate-cli-skeleton output
list-images {_ONE} --query 'nonsense(@)'
list-images {_ONE} --query 'length(`1`)'
list-images {_ONE} --max-items x
list-images {_ONE} --page-size x
list-images {_ONE} --max-results x
list-images {_ONE} --max-items 1 --no-paginate
list-images {_ONE} --max-results 1 --max-items 1
list-images {_ONE} --page-size -1
list-images {_ONE} --page-size 0
list-images {_ONE} --page-size 1001
list-images {_ONE} --filter tagStatus
list-images {_ONE} --filter tagStatus=ANY,tagStatus=ANY
list-images {_ONE} --filter tagStatus=NONSENSE
list-images {_ONE} --filter colour=red
list-images {_ONE} --filter '{{'
list-images {_ONE} --filter '{{"tagStatus": 1}}'
list-images {_ONE} --filter '[1]'
list-images {_ONE} --filter 'tagStatus=[a'
list-images {_ONE} --filter 'tagStatus="a'
list-images {_ONE} --cli-input-json '{{'
list-images {_ONE} --cli-input-json '[]'
list-images {_ONE} --cli-input-json file://nowhere.json
list-images --cli-input-json file://list.json
list-images --cli-input-json file://bad.json
list-images --cli-input-json '{{"repositoryName": 1}}'
list-images --cli-input-json '{{"repositoryName": null}}'
list-images --cli-input-json '{{"repositoryNames": "eq/one"}}'
list-images --cli-input-json '{{}}'
list-images --cli-input-json
list-images --repository-name file://nowhere
list-images --repository-name file://latin1
list-images --repository-name ''
list-images --repository-name a
list-images --repository-name no/such
list-images --repository-name 'no such'
list-images --repository-name no/such --registry-id 12
list-images --generate-cli-skeleton nonsense {_ONE}
list-images --generate-cli-skeleton output
list-images {_ONE} --starting-token nonsense
list-images {_ONE} --endpoint-url nonsense
list-images {_ONE} --endpoint-url http://127.0.0.1:1
list-images {_ONE} --profile nonsense
list-images {_ONE} --cli-read-timeout x
list-images {_ONE} --ca-bundle
list-images {_ONE} --no-sign-request
describe-images {_ONE} --image-ids
describe-images {_ONE} --image-ids imageTag=none
describe-images {_ONE} --image-ids '[]'
describe-images {_ONE} --filter ' tagStatus = TAGGED '
describe-images {_ONE} --image-ids tag=1
describe-images {_ONE} --image-ids nonsense
describe-images {_ONE} --image-ids 1 2
describe-images {_ONE} --image-ids '[{{}}'
describe-images {_ONE} --image-ids file://nowhere
describe-images {_ONE} --image-ids '{{"imageTag": 1}}'
describe-repositories --repository-names no/such
describe-repositories --repository-names
describe-repositories --no-force
describe-repositories --repository-names eq/one --max-results 1
describe-repositories --starting-token ''
batch-check-layer-availability {_ONE}
batch-check-layer-availability {_ONE} --layer-digests
batch-get-image {_ONE}
create-repository --repository-name eq/one
create-repository --repository-name UPPER
create-repository --repository-name eq/three --tags Key=a
create-repository --repository-name eq/three --tags a=b
create-repository --repository-name eq/three --tags Key=a,Value=b,c
create-repository --repository-name eq/three --image-scanning-configuration scanOnPush=maybe
create-repository --repository-name eq/three --image-scanning-configuration nonsense
create-repository --repository-name eq/three --image-tag-mutability NONSENSE
create-repository --repository-name eq/three --encryption-configuration encryptionType=NONSENSE
create-repository --repository-name eq/three --encryption-configuration kmsKey=a
delete-repository {_ONE} --force maybe
delete-repository {_ONE} --force --no-force
delete-repository {_ONE}
get-lifecycle-policy --repository-name eq/two
put-lifecycle-policy {_ONE} --lifecycle-policy-text nonsense
put-image {_ONE} --image-manifest nonsense
initiate-layer-upload --repository-name no/such
{_PART} a
{_PART} 0 --part-last-byte x --layer-part-blob b
{_PART} -1 --part-last-byte 1 --layer-part-blob YQ==
{_PART} 0 --part-last-byte 1 --layer-part-blob YWI=
complete-layer-upload {_ONE} --upload-id x --layer-digests nonsense
get-download-url-for-layer {_ONE} --layer-digest sha256:ab
tag-resource --resource-arn nonsense --tags Key=a,Value=b
wait
wait nonsense
wait image-scan-complete
wait image-scan-complete {_ONE}
wait image-scan-complete {_ONE} --image-id imageTag=none
wait image-scan-complete {_ONE} --max-items 1 --image-id imageTag=1
get-login-password nonsense
get-login-password --nonsense
get-login-password --registry-ids 1
--nonsense
--region us-east-1
""".strip().splitlines()

# In YAML, as version 2 prints it.
YAML: Final = f"""
describe-repositories
describe-repositories --max-items 1
describe-repositories --page-size 1
describe-repositories --query repositories[].createdAt
describe-repositories --query 'repositories[0].createdAt'
describe-repositories --query 'repositories[0]'
describe-repositories --query nothing
describe-repositories --query '`[]`'
describe-repositories --query '`{{}}`'
describe-repositories --query '`true`'
describe-repositories --generate-cli-skeleton output
describe-repositories --generate-cli-skeleton output --query repositories[0].createdAt
describe-images {_ONE}
list-images {_ONE}
list-images {_ONE} --page-size 1
list-images {_ONE} --page-size 1 --max-items 2
list-images {_ONE} --no-paginate
list-images --repository-name eq/two
list-images --cli-input-yaml file://name.yaml
list-images --cli-input-yaml 'repositoryName: eq/one'
list-images --cli-input-yaml '{{repositoryName: eq/one}}' --max-items 1
list-images --cli-input-yaml file://both.yaml {_ONE}
describe-repositories --query '[repositories[0], repositories[0]]'
wait image-scan-complete {_ONE} --image-id imageTag=1 --generate-cli-skeleton output
batch-get-image {_ONE} --image-ids imageTag=1
get-repository-policy {_ONE}
list-images --repository-name no/such
list-images --cli-input-yaml file://bad.yaml
list-images --cli-input-yaml '[a]'
list-images --cli-input-yaml 'repositoryName: no'
list-images --cli-input-yaml 'repositoryName: 1'
list-images --cli-input-yaml 'a: b' --cli-input-json '{{}}'
list-images --cli-input-yaml file://nowhere.yaml
""".strip().splitlines()
