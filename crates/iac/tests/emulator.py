"""Moto's server with what its CloudFormation lacks and a stack set's stack takes: the resource AWS::CloudFormation::StackSet, whose
updates reach the stacks; clusters of EKS; networks that are linked across regions; resources whose condition has come true; the search
for drift, in pages.

Prints the port on which it listens, and ends when its standard input does."""

import json
import sys
from urllib.parse import urlparse

from moto.cloudformation import parsing
from moto.cloudformation.models import cloudformation_backends
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.common_models import CloudFormationModel
from moto.core.responses import ActionResult
from moto.ec2.models import ec2_backends
from moto.ec2.models.vpc_peering_connections import VPCPeeringConnection
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from moto.s3.models import s3_backends


def link(cls, resource_name, cloudformation_json, account_id, region_name, **_):
    """The other network is in another region, and of the same account, so it accepts at once."""
    properties = cloudformation_json["Properties"]
    here, there = ec2_backends[account_id][region_name], ec2_backends[account_id][properties["PeerRegion"]]
    made = here.create_vpc_peering_connection(here.get_vpc(properties["VpcId"]), there.get_vpc(properties["PeerVpcId"]))
    there.accept_vpc_peering_connection(made.id)
    return made


VPCPeeringConnection.create_from_cloudformation_json = classmethod(link)


update_resource = parsing.parse_and_update_resource


def update(logical_id, resource_json, resources_map, **rest):
    """What moto cannot change it forgets; it is what it was, or what its condition just let it become."""
    return update_resource(logical_id, resource_json, resources_map, **rest) or resources_map[logical_id]


parsing.parse_and_update_resource = update


class StackSet(CloudFormationModel):
    __module__ = "moto.cloudformation.emulator"  # by which moto tells the service
    def __init__(self, name):
        self.name = name

    @staticmethod
    def cloudformation_name_type():
        return "StackSetName"

    @staticmethod
    def cloudformation_type():
        return "AWS::CloudFormation::StackSet"

    @property
    def physical_resource_id(self):
        return self.name

    @classmethod
    def create_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name, **_):
        return cls(resource_name).apply(cloudformation_json["Properties"], account_id, region_name)

    @classmethod
    def update_from_cloudformation_json(cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name):
        return original_resource.apply(cloudformation_json["Properties"], account_id, region_name)

    def apply(self, properties, account, region):
        self.name = properties["StackSetName"]
        assert properties["OperationPreferences"]["RegionConcurrencyType"] == "SEQUENTIAL"
        url = urlparse(properties["TemplateURL"])
        bucket = url.netloc.split(".")[0]
        template = s3_backends[account]["aws"].get_object(bucket, url.path.lstrip("/")).value.decode()
        common = {entry["ParameterKey"]: entry["ParameterValue"] for entry in properties["Parameters"]}
        backend = cloudformation_backends[account][region]
        if self.name not in [known.name for known in backend.list_stack_sets()]:
            backend.create_stack_set(
                name=self.name, template=template, parameters=common, tags={}, description="", exec_role=None, admin_role=None,
                permission_model="SELF_MANAGED",
            )
        instances = backend.describe_stack_set(self.name).instances
        groups = {group["Regions"][0]: group for group in properties["StackInstancesGroup"]}
        for place in properties["OperationPreferences"]["RegionOrder"]:
            own = {entry["ParameterKey"]: entry["ParameterValue"] for entry in groups[place].get("ParameterOverrides", [])}
            instance = instances.get_instance(account, place)
            if instance is None:
                given = [{"ParameterKey": key, "ParameterValue": value} for key, value in {**common, **own}.items()]
                instances.create_instances([account], [place], given, {}, "SELF_MANAGED")
                instance = instances.get_instance(account, place)
                stack = instance.stack
                instance.to_dict = lambda place=place, stack=stack: {
                    "StackId": stack.stack_id, "StackSetId": self.name, "Region": place, "Account": account,
                    "Status": "CURRENT", "ParameterOverrides": [], "StackInstanceStatus": {"DetailedStatus": "SUCCEEDED"},
                }
            else:
                instance.stack.update(template, parameters={**common, **own})
        return self


class Cluster(CloudFormationModel):
    """Of EKS no more than the security group that comes with a cluster, which rules refer to."""

    __module__ = "moto.cloudformation.emulator"

    def __init__(self, name, group):
        self.name, self.group = name, group

    @staticmethod
    def cloudformation_name_type():
        return "Name"

    @staticmethod
    def cloudformation_type():
        return "AWS::EKS::Cluster"

    @property
    def physical_resource_id(self):
        return self.name

    @classmethod
    def has_cfn_attr(cls, attr):
        return attr == "ClusterSecurityGroupId"

    def get_cfn_attribute(self, attribute_name):
        return self.group.id

    @classmethod
    def create_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name, **_):
        name = cloudformation_json["Properties"]["Name"]
        backend = ec2_backends[account_id][region_name]
        subnet = backend.get_subnet(cloudformation_json["Properties"]["ResourcesVpcConfig"]["SubnetIds"][0])
        group = backend.create_security_group(name, "of the cluster", vpc_id=subnet.vpc_id)
        return cls(name, group)

    @classmethod
    def update_from_cloudformation_json(cls, original_resource, **_):
        return original_resource


searched = {}


def drifts(stack):
    """Of every resource of a stack what it is: of groups of machines as moto runs them, of others as the template says, for moto knows no more."""
    resources = stack.resource_map
    found = []
    for name, resource in resources._resource_json_map.items():
        condition = resource.get("Condition")
        if condition and not resources.lazy_condition_map[condition]:
            continue
        properties = parsing.clean_json(resource.get("Properties", {}), resources)
        if resource["Type"] == "AWS::AutoScaling::AutoScalingGroup":
            properties["MinSize"] = str(resources[name].min_size)
        found.append({
            "StackId": stack.stack_id, "LogicalResourceId": name, "ResourceType": resource["Type"],
            "StackResourceDriftStatus": "IN_SYNC", "ActualProperties": json.dumps(properties, default=str),
            "Timestamp": "2026-01-01T00:00:00Z",
        })
    return found


def detect(self):
    stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
    searched[stack.stack_id] = drifts(stack)
    return ActionResult({"StackDriftDetectionId": stack.stack_id})


def detected(self):
    stack = self._get_param("StackDriftDetectionId")
    return ActionResult({
        "StackId": stack, "StackDriftDetectionId": stack, "DetectionStatus": "DETECTION_COMPLETE", "Timestamp": "2026-01-01T00:00:00Z",
    })


def describe(self):
    found = searched[self._get_param("StackName")]
    first = int(self._get_param("NextToken") or 0)
    last = first + min(25, int(self._get_param("MaxResults")))
    page = {"StackResourceDrifts": found[first:last]}
    return ActionResult(page | ({"NextToken": str(last)} if last < len(found) else {}))


def update_by_hand(self):
    """Of a stack set's stack, whose parameters moto keeps in another form than it looks for: they stay."""
    stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
    stack.update(self._get_param("TemplateBody"), parameters=stack.parameters)
    return ActionResult({"StackId": stack.stack_id})


CloudFormationResponse.update_stack = update_by_hand
CloudFormationResponse.detect_stack_drift = detect
CloudFormationResponse.describe_stack_drift_detection_status = detected
CloudFormationResponse.describe_stack_resource_drifts = describe


server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
