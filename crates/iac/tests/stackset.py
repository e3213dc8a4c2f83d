"""Does what a stack of stackset.yaml would do, call by call, on an emulator of CloudFormation: creates the stack set and its
instances with each region's parameters, and prints what came of it as JSON.

Arguments: endpoint, folder with regional.yaml, stackset.yaml, roles.json and parameters.example.json."""

import json
import pathlib
import sys

import boto3
import yaml


class Template(yaml.SafeLoader):
    pass


# Of the short forms only !Ref is needed: it stands for a parameter's name here.
Template.add_multi_constructor("!", lambda loader, tag, node: node.value)

endpoint, folder = sys.argv[1], pathlib.Path(sys.argv[2])
options = dict(endpoint_url=endpoint, aws_access_key_id="x", aws_secret_access_key="x")
stack_set = yaml.load((folder / "stackset.yaml").read_text(), Template)["Resources"]["StackSet"]["Properties"]
values = {
    entry["ParameterKey"]: entry["ParameterValue"]
    for name in ("roles.json", "parameters.example.json")
    for entry in json.loads((folder / name).read_text())
}


def overrides(group):
    return [
        {"ParameterKey": entry["ParameterKey"], "ParameterValue": values[entry["ParameterValue"]]}
        for entry in group.get("ParameterOverrides", [])
    ]


groups = stack_set["StackInstancesGroup"]
client = boto3.client("cloudformation", region_name="us-east-1", **options)
client.create_stack_set(
    StackSetName=stack_set["StackSetName"],
    TemplateBody=(folder / "regional.yaml").read_text(),
    Capabilities=stack_set["Capabilities"],
    PermissionModel=stack_set["PermissionModel"],
    ManagedExecution=stack_set["ManagedExecution"],
    Parameters=overrides(groups[0]),
)
for group in groups:
    client.create_stack_instances(
        StackSetName=stack_set["StackSetName"],
        Accounts=["123456789012"],
        Regions=group["Regions"],
        ParameterOverrides=overrides(group),
        OperationPreferences=stack_set["OperationPreferences"],
    )

found = {}
for region in stack_set["OperationPreferences"]["RegionOrder"]:
    stacks = boto3.client("cloudformation", region_name=region, **options).describe_stacks()["Stacks"]
    buckets = boto3.client("s3", region_name=region, **options).list_buckets()["Buckets"]
    networks = boto3.client("ec2", region_name=region, **options).describe_vpcs()["Vpcs"]
    found[region] = {
        "stacks": [stack["StackStatus"] for stack in stacks],
        "serves": [entry["ParameterValue"] for entry in stacks[0]["Parameters"] if entry["ParameterKey"] == "PlatformServes"],
        "bucket": [bucket["Name"] for bucket in buckets if region in bucket["Name"]],
        "network": [network["CidrBlock"] for network in networks if not network["IsDefault"]],
    }
print(json.dumps(found))
